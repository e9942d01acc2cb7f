/** Viewers without a browser on a running stack, one kind for each protocol: they note when media comes, and little else. */
import { eventually, openReader } from './flv-readers.ts';
import { fetchNonce, proofFor, type Purchase } from './shop.ts';
import type { StackEnvironment } from './stack.ts';
import { openWebRtcReceiver, remoteEndOf } from './webrtc-receiver.ts';

export const PLAIN_PROTOCOLS = ['whep', 'http-flv', 'ws-flv', 'rtmp'] as const;
export type PlainProtocol = (typeof PLAIN_PROTOCOLS)[number];

export interface PlainViewer {
  readonly protocol: PlainProtocol;
  /** When the first media came, on the clock of `performance.now`. */
  readonly firstMs: number;
  lastMs(): number;
  /** Resolves when the server has cut the connection; over WHEP there is none to cut. */
  readonly cut: Promise<unknown>;
  /** Goes, in the protocol's own way. */
  leave(): Promise<void>;
  /** Gives what it has of this process back, without a word to the server. */
  close(): void;
}

type Ports = Pick<StackEnvironment, 'mediaUrl' | 'httpFlvPort' | 'rtmpPort'>;

/** A request with ticket and proof. @throws Error (rejects with it) unless it is answered with 2xx */
export async function sendWithTicket(
  purchase: Purchase,
  method: 'POST' | 'DELETE',
  url: string,
  content?: { readonly type: string; readonly body: string; readonly fingerprint?: string },
): Promise<Response> {
  const nonce = await fetchNonce(purchase.whepUrl);
  const fingerprint = content?.fingerprint;
  const dpop = await proofFor(
    purchase,
    { method, url, nonce },
    fingerprint === undefined ? {} : { fingerprint },
  );
  const headers = { authorization: `DPoP ${purchase.ticket}`, dpop };
  const response = await fetch(url, {
    method,
    headers: content === undefined ? headers : { ...headers, 'content-type': content.type },
    ...(content === undefined ? {} : { body: content.body }),
  });
  if (!response.ok) throw new Error(`${url}: ${String(response.status)} ${await response.text()}`);
  return response;
}

async function openWhep(purchase: Purchase): Promise<PlainViewer> {
  const receiver = await openWebRtcReceiver();
  let session: string | undefined;
  const leave = async (): Promise<void> => {
    receiver.close();
    if (session !== undefined) await sendWithTicket(purchase, 'DELETE', session);
  };
  try {
    const opened = await sendWithTicket(purchase, 'POST', purchase.whepUrl, {
      type: 'application/sdp',
      body: receiver.offer,
      fingerprint: `sha-256 ${receiver.fingerprint}`,
    });
    session = new URL(opened.headers.get('location') ?? '', purchase.whepUrl).href;
    await receiver.connect(remoteEndOf(await opened.text()));
    await eventually(() => receiver.lastMediaMs() > 0);
  } catch (error) {
    await leave().catch(() => undefined);
    throw error;
  }
  return {
    protocol: 'whep',
    firstMs: receiver.firstMediaMs(),
    lastMs: receiver.lastMediaMs,
    cut: new Promise(() => undefined),
    leave,
    close: receiver.close,
  };
}

/** A pass for one connection. */
export async function mintPass(mediaUrl: string, path: string, purchase: Purchase): Promise<string> {
  const content = { type: 'application/json', body: JSON.stringify({ uri: path }) };
  const minted = await sendWithTicket(purchase, 'POST', `${mediaUrl}/pass`, content);
  return ((await minted.json()) as { pass: string }).pass;
}

async function openFlv(
  { mediaUrl, httpFlvPort: http, rtmpPort: rtmp }: Ports,
  protocol: Exclude<PlainProtocol, 'whep'>,
  path: string,
  purchase: Purchase,
): Promise<PlainViewer> {
  const pass = await mintPass(mediaUrl, path, purchase);
  const ports = { http, https: 0, rtmp, rtmps: 0 };
  const reader = openReader(protocol, { ports, path, query: `pass=${pass}` });
  const close = reader.destroy;
  try {
    const { code, status } = await reader.answer;
    if (code !== undefined || status === 0) throw new Error(`${protocol}: ${code ?? 'no answer'}`);
    await eventually(() => reader.lastMediaMs() > 0);
  } catch (error) {
    close();
    throw error;
  }
  return {
    protocol,
    firstMs: reader.startedMs + (reader.messages[0]?.atMs ?? 0),
    lastMs: reader.lastMediaMs,
    cut: reader.ended,
    leave: () => Promise.resolve(close()),
    close,
  };
}

/**
 * Watches a stream path on a ticket that was bought for it; resolves with the first media.
 * @throws Error (rejects with it) when it is refused, or nothing comes within ten seconds; then it has left
 */
export function openPlainViewer(
  stack: Ports,
  protocol: PlainProtocol,
  path: string,
  purchase: Purchase,
): Promise<PlainViewer> {
  return protocol === 'whep' ? openWhep(purchase) : openFlv(stack, protocol, path, purchase);
}
