/** A ticket, or a pass, in a request's header fields, and the challenge that asks for them. */
import { Denial } from '../errors.ts';
import { challenge, readCredentials } from '../http/credentials.ts';
import { isPass } from '../ticket/index.ts';

export interface RtspCredentials {
  /** The whole `Authorization` of `DPoP` or `Bearer`. */
  readonly authorization: string | undefined;
  readonly proof: string | undefined;
  /** From the URL, or from `Authorization: Basic`, which is what players make of `rtsps://user:pass@host/`. */
  readonly pass: string | undefined;
}

const BASIC = /^Basic +([A-Za-z0-9+/]{1,200}={0,2})$/i;

/** The password is the pass; of `rtsps://pass@host/` it is the user's name. */
function passOf(basic: string): string {
  const text = Buffer.from(basic, 'base64').toString('latin1');
  const colon = text.indexOf(':');
  const password = colon < 0 ? '' : text.slice(colon + 1);
  const pass = password === '' && colon >= 0 ? text.slice(0, colon) : password;
  if (!isPass(pass)) throw new Denial('pass_invalid');
  return pass;
}

/**
 * @param passInUrl what the URL's query has
 * @throws Denial `ticket_missing`, `ticket_malformed`, `proof_invalid`, `pass_invalid`
 */
export function readRtspCredentials(
  headers: ReadonlyMap<string, string>,
  passInUrl: string | undefined,
): RtspCredentials {
  const none = { authorization: undefined, proof: undefined };
  if (passInUrl !== undefined) return { ...none, pass: passInUrl };
  const [, basic] = BASIC.exec(headers.get('authorization') ?? '') ?? [];
  if (basic !== undefined) return { ...none, pass: passOf(basic) };
  const credentials = readCredentials({ headers: { get: (name) => headers.get(name) ?? null } });
  if (credentials.authorization === undefined) throw new Denial('ticket_missing');
  return { ...credentials, pass: undefined };
}

/**
 * The credentials of a renewal, whose ticket is in the body: with a proof it is one that is bound to a key.
 * @throws Denial `proof_invalid`
 */
export function readRenewal(
  headers: ReadonlyMap<string, string>,
  ticket: string,
): Pick<RtspCredentials, 'authorization' | 'proof'> {
  const scheme = headers.has('dpop') ? 'DPoP' : 'Bearer';
  const named = new Map([...headers, ['authorization', `${scheme} ${ticket}`]]);
  return readCredentials({ headers: { get: (name) => named.get(name) ?? null } });
}

/**
 * `WWW-Authenticate` of a 401. Basic is there for players that know nothing else: its password is a pass. It comes first,
 * as live555 (VLC) keeps the first challenge that it reads unless a later one is Digest.
 */
export function rtspChallenges(denial: Denial): readonly string[] {
  return ['Basic realm="ticket"', challenge(denial)];
}
