/** WebRTC viewers of the viewers bench, in a process of their own: they count what comes and look at none of it. */
import { createProof, importSigningKey } from '../plugin/ticket/index.ts';
import { openWebRtcReceiver, remoteEndOf, type WebRtcReceiver } from '../test/support/webrtc-receiver.ts';
import type { Holder } from './flv-readers.ts';
import { PATH, type BareAnswer } from './viewers-server.ts';

export type ReadersQuestion =
  | {
      readonly ask: 'connect';
      /** HTTP port of the server. */
      readonly port: number;
      /** One viewer each; `null`: on the bare app. */
      readonly holders: readonly (Holder | null)[];
    }
  | { readonly ask: 'count' };

export interface ReadersCount {
  /** What has come so far. */
  readonly bytes: number;
  /** Viewers that have got something since the last count. */
  readonly served: number;
}

/** Connections that are made side by side: most of a handshake is waiting. */
const AT_ONCE = 10;

/** With the packets that each had at the last count. */
const receivers = new Map<WebRtcReceiver, number>();
let nonce: string | undefined;

async function whep(port: number, receiver: WebRtcReceiver, { ticket, privateJwk }: Holder): Promise<void> {
  const { privateKey, publicJwk, alg } = await importSigningKey(privateJwk);
  const url = `http://localhost:${String(port)}/whep${PATH}`;
  for (let attempt = 0; attempt < 2; attempt++) {
    const dpop = await createProof({
      ...{ privateKey, publicJwk, alg, method: 'POST', url, ticket, nonce },
      attempt: crypto.randomUUID(),
      ask: { action: 'play' },
      fingerprint: `sha-256 ${receiver.fingerprint}`,
    });
    const response = await fetch(url, {
      method: 'POST',
      headers: { authorization: `DPoP ${ticket}`, dpop, 'content-type': 'application/sdp' },
      body: receiver.offer,
    });
    const text = await response.text();
    nonce = response.headers.get('dpop-nonce') ?? undefined;
    if (response.status === 201) return receiver.connect(remoteEndOf(text));
    if (attempt > 0) throw new Error(`${String(response.status)} ${text}`);
  }
}

async function bare(port: number, receiver: WebRtcReceiver): Promise<void> {
  const { fingerprint } = receiver;
  const response = await fetch(`http://localhost:${String(port)}/`, {
    method: 'POST',
    body: JSON.stringify({ fingerprint }),
  });
  await receiver.connect((await response.json()) as BareAnswer);
}

async function answer(question: ReadersQuestion): Promise<ReadersCount> {
  if (question.ask === 'connect') {
    const waiting = [...question.holders];
    const connectAll = async (): Promise<void> => {
      for (let holder = waiting.pop(); holder !== undefined; holder = waiting.pop()) {
        const receiver = await openWebRtcReceiver();
        receivers.set(receiver, 0);
        await (holder === null ? bare(question.port, receiver) : whep(question.port, receiver, holder));
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, connectAll));
  }
  let [bytes, served] = [0, 0];
  for (const [receiver, counted] of receivers) {
    const packets = receiver.packets();
    bytes += receiver.bytes();
    if (packets > counted) served += 1;
    receivers.set(receiver, packets);
  }
  return { bytes, served };
}

process.on('message', (question: ReadersQuestion) => {
  answer(question).then(
    (count) => process.send?.(count),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
process.on('disconnect', () => process.exit(0));
