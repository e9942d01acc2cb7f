/**
 * STUN and TURN servers that viewers are told of in Link header fields (draft-ietf-wish-whep section 4.7, RFC 9725
 * section 4.6). Only the 201 carries them: RFC 9725 advises against OPTIONS, and credentials are for who was admitted.
 */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../ports.ts';

const HOST = String.raw`(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[1-9]\d{0,4})?`;

/** RFC 7064 (STUN) and RFC 7065 (TURN). */
export const iceServerUrlSchema = z
  .string()
  .regex(
    new RegExp(`^(?:stuns?:${HOST}|turns?:${HOST}(?:\\?transport=(?:udp|tcp))?)$`),
    'stun:, stuns:, turn: and turns: URLs',
  );

export const isTurnUrl = (url: string): boolean => /^turns?:/.test(url);

/** A day, as draft-uberti-behave-turn-rest-00 section 2.2 recommends it. */
const MAX_CREDENTIAL_SECONDS = 24 * 3600;

export interface IceServersOptions {
  /** As `iceServerUrlSchema` has them. */
  readonly urls: readonly string[];
  /** What the TURN servers share with this one (coturn: `use-auth-secret`, `static-auth-secret`). */
  readonly turnSecret?: string | undefined;
  readonly clock: Pick<Clock, 'nowMs'>;
}

/** Whom the credentials are for. */
export interface IceClient {
  /** Not a secret: it shows in the TURN server's log. */
  readonly sessionId: string;
  /** Unix time after which the session cannot go on. */
  readonly expiresAtSeconds: number;
}

/** Values of `Link`, one per server. */
export type IceServerLinks = (client: IceClient) => readonly string[];

/** RFC 9110 section 5.6.4, as RFC 8288 section 3 has it for target attributes. */
const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`;

const attribute = (name: string, value: string): string => `; ${name}=${quoted(value)}`;

/**
 * Credentials that end by themselves (draft-uberti-behave-turn-rest-00 section 2.2): the name says until when, the
 * password is its HMAC-SHA1 under the shared secret.
 */
function turnCredentials(secret: string, { sessionId, expiresAtSeconds }: IceClient, nowMs: number) {
  const untilSeconds = Math.min(expiresAtSeconds, Math.floor(nowMs / 1000) + MAX_CREDENTIAL_SECONDS);
  const username = `${String(untilSeconds)}:${sessionId}`;
  return { username, credential: createHmac('sha1', secret).update(username).digest('base64') };
}

/**
 * @throws TypeError for a TURN server without a secret: it would relay for everybody
 */
export function createIceServers({ urls, turnSecret, clock }: IceServersOptions): IceServerLinks {
  if (turnSecret === undefined && urls.some(isTurnUrl)) throw new TypeError('TURN needs a shared secret');
  return (client) =>
    urls.map((url) => {
      const link = `<${url}>${attribute('rel', 'ice-server')}`;
      if (turnSecret === undefined || !isTurnUrl(url)) return link;
      const { username, credential } = turnCredentials(turnSecret, client, clock.nowMs());
      return [
        link,
        attribute('username', username),
        attribute('credential', credential),
        attribute('credential-type', 'password'),
      ].join('');
    });
}
