/** Which suite an SP stands for (RFC 3830 section 6.10.1, RFC 7714 section 14.3). */
import { SRTP_SUITES, type SrtpSuiteName } from '../suites.ts';
import { MikeyError } from './error.ts';
import type { PolicyParameter, PolicyPayload } from './message.ts';
import { uint8 } from './octets.ts';

/** Numbers of the parameters that are written. */
const ENCRYPTION = 0;
const KEY_BYTES = 1;
const AUTHENTICATION = 2;
const AUTHENTICATION_KEY_BYTES = 3;
const SRTP_ENCRYPTED = 7;
const SRTCP_ENCRYPTED = 8;
const SRTP_AUTHENTICATED = 10;
/** AES-CM: what an SP without the parameter has. */
const DEFAULT_ENCRYPTION = 1;

interface Policy {
  readonly encryption: number;
  /** Values that each parameter may have, by its number; one that is missing has the first. */
  readonly allowed: Readonly<Record<number, readonly number[]>>;
  /** As GStreamer writes them and needs them. */
  readonly written: readonly (readonly [parameter: number, value: number])[];
}

/** SRTP and SRTCP both encrypted, PRF AES-CM, no key derivation rate, FEC order 0, no SRTP prefix. */
const EVERY_POLICY = {
  [SRTP_ENCRYPTED]: [1],
  [SRTCP_ENCRYPTED]: [1],
  5: [0],
  6: [0],
  9: [0],
  12: [0],
} as const;

function written(encryption: number, authentication: number, authenticationKeyBytes: number) {
  return [
    [ENCRYPTION, encryption],
    [KEY_BYTES, 16],
    [AUTHENTICATION, authentication],
    [AUTHENTICATION_KEY_BYTES, authenticationKeyBytes],
    [SRTP_ENCRYPTED, 1],
    [SRTCP_ENCRYPTED, 1],
    [SRTP_AUTHENTICATED, 1],
  ] as const;
}

const POLICIES: Readonly<Record<SrtpSuiteName, Policy>> = {
  AES_CM_128_HMAC_SHA1_80: {
    encryption: DEFAULT_ENCRYPTION,
    // GStreamer states the bytes of the tag (10) where those of the key (20) belong, and tells 80 bits from 32 by them.
    allowed: { ...EVERY_POLICY, 0: [1], 1: [16], 2: [1], 3: [20, 10], 4: [14], 10: [1], 11: [10] },
    written: written(1, 1, 10),
  },
  AEAD_AES_128_GCM: {
    encryption: 6,
    // The cipher authenticates, whatever is said of SRTP's own authentication; GStreamer says on.
    allowed: { ...EVERY_POLICY, 0: [6], 1: [16], 2: [0], 3: [0], 4: [12], 10: [1, 0], 20: [16] },
    written: written(6, 0, 0),
  },
};

function numberOf({ value }: PolicyParameter): number {
  if (value.length < 1 || value.length > 4)
    throw new MikeyError('invalid_policy', 'a parameter of an SP is no number of at most 32 bits');
  return value.reduce((sum, byte) => sum * 256 + byte, 0);
}

/**
 * The suite that a policy asks for, all of it: nothing of a policy is passed over.
 * @throws MikeyError `invalid_policy`
 */
export function suiteOfPolicy({ parameters }: PolicyPayload): SrtpSuiteName {
  const values = new Map(parameters.map((parameter) => [parameter.parameter, numberOf(parameter)]));
  const encryption = values.get(ENCRYPTION) ?? DEFAULT_ENCRYPTION;
  const names = Object.keys(SRTP_SUITES) as SrtpSuiteName[];
  const suite = names.find((name) => POLICIES[name].encryption === encryption);
  if (suite === undefined) throw new MikeyError('invalid_policy', 'the encryption of an SP is not supported');
  for (const [parameter, value] of values) {
    if (POLICIES[suite].allowed[parameter]?.includes(value) !== true)
      throw new MikeyError('invalid_policy', `parameter ${parameter} of an SP has an unsupported value`);
  }
  return suite;
}

/** @param policy its number, 0 to 255 */
export function policyOfSuite(suite: SrtpSuiteName, policy: number): PolicyPayload {
  const parameters = POLICIES[suite].written.map(([parameter, value]) => ({
    parameter,
    value: uint8(value),
  }));
  return { type: 'SP', policy, parameters };
}
