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
  | { readonly ask: 'count' }
  /** Those that have been there longest, and have a session; with a DELETE each. */
  | { readonly ask: 'leave'; readonly count: number }
  /** Those that have been there longest and have a ticket left, with it. */
  | { readonly ask: 'renew'; readonly count: number };

export interface ReadersCount {
  /** What has come so far. */
  readonly bytes: number;
  /** Viewers that have got something since the last count. */
  readonly served: number;
}

/** Connections that are made side by side: most of a handshake is waiting. */
const AT_ONCE = 10;

interface Viewing {
  /** URL. */
  readonly session: string;
  /** With what it runs on. */
  holder: Holder;
}

/** With the packets that each had at the last count. */
const receivers = new Map<WebRtcReceiver, number>();
/** Those with tickets, oldest first. */
const viewings = new Map<WebRtcReceiver, Viewing>();
let nonce: string | undefined;

interface Request {
  readonly method: 'POST' | 'DELETE';
  readonly url: string;
  readonly holder: Holder;
  /** Of the receiver that asks to play. */
  readonly offer?: Pick<WebRtcReceiver, 'offer' | 'fingerprint'>;
}

/** As a player does; the first request learns the nonce. */
async function send(request: Request, expected: number): Promise<{ text: string; location: string }> {
  const { method, url, offer } = request;
  const { ticket, privateJwk } = request.holder;
  const { privateKey, publicJwk, alg } = await importSigningKey(privateJwk);
  const play = offer && {
    ask: { action: 'play' as const },
    fingerprint: `sha-256 ${offer.fingerprint}`,
  };
  for (let attempt = 0; ; attempt++) {
    const dpop = await createProof({
      ...{ privateKey, publicJwk, alg, method, url, ticket, nonce },
      ...(method === 'POST' ? { attempt: crypto.randomUUID() } : {}),
      ...play,
    });
    const authorization = `DPoP ${ticket}`;
    const response = await fetch(url, {
      method,
      headers: { authorization, dpop, ...(offer && { 'content-type': 'application/sdp' }) },
      ...(offer && { body: offer.offer }),
    });
    const text = await response.text();
    nonce = response.headers.get('dpop-nonce') ?? undefined;
    if (response.status === expected) return { text, location: response.headers.get('location') ?? '' };
    if (attempt > 0) throw new Error(`${String(response.status)} ${text}`);
  }
}

async function whep(port: number, receiver: WebRtcReceiver, holder: Holder): Promise<void> {
  const url = `http://localhost:${String(port)}/whep${PATH}`;
  const { text, location } = await send({ method: 'POST', url, holder, offer: receiver }, 201);
  await receiver.connect(remoteEndOf(text));
  viewings.set(receiver, { session: location, holder });
}

async function leave(count: number): Promise<void> {
  for (const [receiver, { session: url, holder }] of [...viewings].slice(0, count)) {
    await send({ method: 'DELETE', url, holder }, 200);
    receiver.close();
    viewings.delete(receiver);
    receivers.delete(receiver);
  }
}

async function renew(count: number): Promise<void> {
  const able = [...viewings.values()].filter(({ holder }) => (holder.further ?? []).length > 0);
  for (const viewing of able.slice(0, count)) {
    const [ticket = '', ...further] = viewing.holder.further ?? [];
    const holder = { ...viewing.holder, ticket, further };
    await send({ method: 'POST', url: `${viewing.session}/ticket`, holder }, 200);
    viewing.holder = holder;
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
  } else if (question.ask === 'leave') {
    await leave(question.count);
  } else if (question.ask === 'renew') {
    await renew(question.count);
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
