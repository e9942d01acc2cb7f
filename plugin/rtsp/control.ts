/**
 * Control proofs: that a request of a session comes from whoever shares the ticket's secret, over whatever connection. A
 * proof is good for one request: it covers what is asked for and a number that only goes up.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { Denial } from '../errors.ts';

/** The header field, `<number>.<MAC in base64url>`. */
export const CONTROL_FIELD = 'Usher-Control';

export interface ControlledRequest {
  readonly method: string;
  /** As it is in the request line. */
  readonly url: string;
  /** Session id. */
  readonly session: string;
  readonly body: Uint8Array;
}

const PROOF = /^([1-9][0-9]{0,14})\.([A-Za-z0-9_-]{43})$/;

/** None of the lines can have a line break in it, so that no two requests have the same text. */
function macOf(key: Uint8Array, { method, url, session, body }: ControlledRequest, number: number): Buffer {
  const lines = [String(number), method, url, session, hash('sha256', body, 'hex')];
  return createHmac('sha256', key).update(lines.join('\n')).digest();
}

/**
 * The value of the field.
 * @param number 1 to 10^15 - 1, higher than those of all proofs before
 */
export function formatControlProof(key: Uint8Array, request: ControlledRequest, number: number): string {
  return `${String(number)}.${macOf(key, request, number).toString('base64url')}`;
}

/**
 * Makes the checker of one session's proofs.
 * @returns throws Denial `proof_missing`, `proof_invalid`, `proof_replayed`
 */
export function createControlCheck(
  key: Uint8Array,
): (request: ControlledRequest, proof: string | undefined) => void {
  let last = 0;
  return (request, proof) => {
    if (proof === undefined) throw new Denial('proof_missing', { detail: CONTROL_FIELD });
    const [, digits = '', mac = ''] = PROOF.exec(proof) ?? [];
    const number = Number(digits);
    // What is not written as it must be has an empty MAC: base64url of 43 characters is 32 bytes.
    const given = Buffer.from(mac, 'base64url');
    const wanted = macOf(key, request, number);
    if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
      throw new Denial('proof_invalid', { detail: CONTROL_FIELD });
    // Only an authentic proof moves it on.
    if (number <= last) throw new Denial('proof_replayed', { detail: CONTROL_FIELD });
    last = number;
  };
}
