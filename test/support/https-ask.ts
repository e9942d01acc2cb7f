/** HTTPS requests to a server with a certificate of its own: fetch trusts none of ours. */
import { request as httpsRequest } from 'node:https';

export interface HttpsAnswer {
  readonly status: number;
  readonly nonce: string;
  readonly body: string;
}

export type HttpsAsk = (
  url: string,
  method: string,
  headers?: Record<string, string>,
  body?: string,
) => Promise<HttpsAnswer>;

/** @param ca what is trusted, in PEM */
export const httpsAsker =
  (ca: string): HttpsAsk =>
  (url, method, headers = {}, body = '') => {
    const { promise, resolve, reject } = Promise.withResolvers<HttpsAnswer>();
    const outgoing = httpsRequest(url, { method, headers, ca }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => {
        const nonce = String(response.headers['dpop-nonce']);
        resolve({ status: response.statusCode ?? 0, nonce, body: text });
      });
    });
    outgoing.on('error', reject).end(body);
    return promise;
  };
