/** Between node:http's requests and the web's: what the gate reads of a request, and replies that are not media. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

export type HostRequest = IncomingMessage | Http2ServerRequest;
export type HostResponse = ServerResponse | Http2ServerResponse;

const READ_HEADERS: ReadonlySet<string> = new Set(['authorization', 'dpop', 'origin']);
const FLUSH_WITHIN_MS = 1000;

/** The header fields that count here. One that was sent twice is joined by a comma, and so refused. */
export function toWebRequest({ rawHeaders }: Pick<HostRequest, 'rawHeaders'>): Request {
  const headers = new Headers();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = (rawHeaders[index] ?? '').toLowerCase();
    const value = rawHeaders[index + 1] ?? '';
    if (READ_HEADERS.has(name) && /^[\x20-\x7e]*$/.test(value)) headers.append(name, value);
  }
  return new Request('http://listener.invalid/', { headers });
}

/** Starts a reply. HTTP/1.1 would hold its head back until the first bytes of a body. */
export function writeHead(response: HostResponse, status: number, headers: Record<string, string>): void {
  if ('stream' in response) {
    response.writeHead(status, headers);
  } else {
    response.writeHead(status, headers);
    response.flushHeaders();
  }
}

/** Sends a reply. A request's body that nobody reads must not keep the connection. */
export async function sendReply(
  request: HostRequest,
  response: HostResponse,
  reply: Response,
): Promise<void> {
  const text = await reply.text();
  const headers = Object.fromEntries(reply.headers);
  headers['content-length'] = String(Buffer.byteLength(text));
  // HTTP/2 has streams for that and knows no such header.
  const isHttp1 = request.httpVersionMajor === 1;
  if (isHttp1) headers['connection'] = 'close';
  writeHead(response, reply.status, headers);
  response.end(request.method === 'HEAD' ? '' : text);
  const connection = 'stream' in request ? request.stream : request.socket;
  request.resume();
  setTimeout(() => connection.destroy(), FLUSH_WITHIN_MS).unref();
}
