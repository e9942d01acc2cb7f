import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  acceptPskInit,
  buildKeyData,
  buildMikey,
  buildNullMessage,
  buildPskInit,
  createMikeyReplay,
  MikeyError,
  parseKeyData,
  parseMikey,
  policyOfSuite,
  prf,
  readNullMessage,
  suiteOfPolicy,
  timestampOf,
  unixMsOf,
  type KeyData,
  type MikeyErrorCode,
  type MikeyMessage,
  type MikeyPayload,
  type MikeySessionOffer,
  type PolicyPayload,
} from '../../../../plugin/srtp/mikey/index.ts';
import { SRTP_SUITES, type SrtpSuiteName } from '../../../../plugin/srtp/index.ts';

const NOW_MS = 1_700_000_000_000;
const PSK = randomBytes(32);
const SUITES = Object.keys(SRTP_SUITES) as SrtpSuiteName[];
const SESSIONS: readonly MikeySessionOffer[] = [
  { suite: 'AES_CM_128_HMAC_SHA1_80', ssrc: 1, roc: 2 },
  { suite: 'AEAD_AES_128_GCM', ssrc: 0 },
];

const init = (more: Partial<Parameters<typeof buildPskInit>[0]> = {}) =>
  buildPskInit({ psk: PSK, sessions: SESSIONS, nowMs: NOW_MS, requestVerification: true, ...more });
const accept = (message: Uint8Array, more: Partial<Parameters<typeof acceptPskInit>[1]> = {}) =>
  acceptPskInit(message, {
    psk: PSK,
    nowMs: NOW_MS,
    replay: createMikeyReplay(),
    ssrcs: new Map([[2, 77]]),
    ...more,
  });

/** The code that something is refused with. */
function refusal(act: () => unknown): MikeyErrorCode | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof MikeyError) return error.code;
    throw error;
  }
  return undefined;
}

const octets = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Buffer.from(bytes));
const uint8s = fc.integer({ min: 0, max: 255 });
const uint32s = fc.integer({ min: 0, max: 0xffff_ffff });
const macs = fc.oneof(
  fc.constant({ authentication: 'NULL', mac: Buffer.alloc(0) } as const),
  octets(20, 20).map((mac) => ({ authentication: 'HMAC-SHA-1-160', mac }) as const),
);
const times = fc.oneof(
  fc.record({
    type: fc.constant('T' as const),
    kind: fc.constantFrom('NTP-UTC' as const, 'NTP' as const),
    value: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  }),
  uint32s.map((value) => ({ type: 'T', kind: 'COUNTER', value: BigInt(value) }) as const),
);
const parameters = fc.uniqueArray(fc.record({ parameter: uint8s, value: octets(0, 6) }), {
  maxLength: 12,
  selector: ({ parameter }) => parameter,
});
const payloads: fc.Arbitrary<MikeyPayload> = fc.oneof(
  times,
  octets(16, 60).map((rand) => ({ type: 'RAND', rand }) as const),
  fc.record({ type: fc.constant('SP' as const), policy: uint8s, parameters }),
  fc
    .tuple(fc.constantFrom('NULL' as const, 'AES-CM-128' as const), octets(0, 80), macs)
    .map(([encryption, data, mac]) => ({ type: 'KEMAC', encryption, data, ...mac }) as const),
  macs.map((mac) => ({ type: 'V', ...mac }) as const),
  fc.record({
    type: fc.constant('ID' as const),
    kind: fc.constantFrom('NAI' as const, 'URI' as const),
    id: octets(0, 40),
  }),
  fc.record({ type: fc.constant('ERR' as const), errorNumber: uint8s }),
  fc.record({ type: fc.constant('EXT' as const), extension: uint8s, data: octets(0, 40) }),
);
const messages: fc.Arbitrary<MikeyMessage> = fc.record({
  header: fc.record({
    dataType: fc.constantFrom('PSK' as const, 'PSK verification' as const, 'error' as const),
    verify: fc.boolean(),
    csbId: uint32s,
    sessions: fc.array(fc.record({ policy: uint8s, ssrc: uint32s, roc: uint32s }), { maxLength: 32 }),
  }),
  payloads: fc.array(payloads, { maxLength: 12 }),
});
const keyData: fc.Arbitrary<KeyData> = fc.record(
  {
    type: fc.constantFrom('TGK' as const, 'TEK' as const),
    key: octets(1, 256),
    salt: octets(1, 64),
    validity: fc.oneof(
      octets(1, 128).map((spi) => ({ kind: 'SPI', spi }) as const),
      fc.record({ kind: fc.constant('interval' as const), from: octets(1, 16), to: octets(1, 16) }),
    ),
  },
  { requiredKeys: ['type', 'key'] },
);

describe('the encoding', () => {
  it('of any message is read back as it was', () => {
    fc.assert(
      fc.property(messages, (message) => {
        expect(parseMikey(buildMikey(message))).toEqual(message);
      }),
    );
  });

  it('of any key data is read back as it was', () => {
    const keys = fc.array(keyData, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(keys, (data) => {
        expect(parseKeyData(buildKeyData(data))).toEqual(data);
      }),
    );
  });

  it('of any bytes is read, or refused by a MikeyError', () => {
    fc.assert(
      fc.property(octets(0, 300), (bytes) => {
        for (const read of [parseMikey, parseKeyData, readNullMessage, accept]) refusal(() => read(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  it('of every suite is read back as a policy', () => {
    for (const suite of SUITES) expect(suiteOfPolicy(policyOfSuite(suite, 3))).toBe(suite);
  });

  it('of a time is as exact as a millisecond, in the next era too', () => {
    for (const nowMs of [
      0,
      1,
      NOW_MS + 123,
      Date.UTC(2036, 1, 7, 6, 28, 15, 999),
      Date.UTC(2036, 1, 7, 6, 28, 16),
    ])
      expect(Math.abs(unixMsOf(timestampOf(nowMs), nowMs + 60_000) - nowMs)).toBeLessThan(0.001);
  });
});

describe('a message is refused', () => {
  const opening = { csbId: 1, sessions: [{ policy: 0, ssrc: 1, roc: 0 }] };
  const header = { dataType: 'PSK', verify: false, ...opening } as const;
  const time = timestampOf(NOW_MS);
  const rand = { type: 'RAND', rand: Buffer.alloc(16) } as const;
  const policy = policyOfSuite('AES_CM_128_HMAC_SHA1_80', 0);
  const kemac = (...keys: KeyData[]) =>
    ({
      type: 'KEMAC',
      encryption: 'NULL',
      data: buildKeyData(keys),
      authentication: 'NULL',
      mac: Buffer.alloc(0),
    }) as const;
  const tek = { type: 'TEK', key: Buffer.alloc(30) } as const;
  const valid: MikeyMessage = { header, payloads: [time, rand, policy, kemac(tek)] };
  const bytes = buildMikey(valid);
  const patched = (at: number, value: number): Buffer => {
    const copy = Buffer.from(bytes);
    copy[at] = value;
    return copy;
  };
  const withPayloads = (...list: MikeyPayload[]): Buffer => buildMikey({ header, payloads: list });

  it('unless it is right', () => {
    expect(readNullMessage(bytes)).toMatchObject([{ csId: 1, ssrc: 1 }]);
    const extension = { type: 'EXT', extension: 9, data: Buffer.from('x') } as const;
    expect(readNullMessage(withPayloads(extension, ...valid.payloads))).toHaveLength(1);
  });

  it.each<[name: string, message: Uint8Array, code: MikeyErrorCode]>([
    ['of another version', patched(0, 2), 'unsupported'],
    ['of a public key method', patched(1, 2), 'unsupported_data_type'],
    ['that is an error', patched(1, 6), 'unsupported_data_type'],
    ['with an unknown payload', patched(2, 99), 'unsupported'],
    ['with a certificate', patched(2, 7), 'unsupported'],
    ['with another PRF', patched(3, 1), 'unsupported_prf'],
    ['with 33 crypto sessions', patched(8, 33), 'malformed'],
    ['with another map', patched(9, 1), 'unsupported'],
    ['that is too long', Buffer.concat([bytes, Buffer.alloc(4096)]), 'malformed'],
    ['with bytes behind it', Buffer.concat([bytes, Buffer.alloc(1)]), 'malformed'],
    ['that is empty', Buffer.alloc(0), 'malformed'],
    ['without a time', withPayloads(rand, policy, kemac(tek)), 'malformed'],
    ['with two times', withPayloads(time, time, rand, policy, kemac(tek)), 'malformed'],
    ['without RAND', withPayloads(time, policy, kemac(tek)), 'malformed'],
    ['without a policy', withPayloads(time, rand, kemac(tek)), 'invalid_policy'],
    ['with a policy twice', withPayloads(time, rand, policy, policy, kemac(tek)), 'invalid_policy'],
    ['with two keys', withPayloads(time, rand, policy, kemac(tek, tek)), 'unsupported'],
    [
      'with a short key',
      withPayloads(time, rand, policy, kemac({ ...tek, key: Buffer.alloc(29) })),
      'malformed',
    ],
    [
      'with a TGK',
      withPayloads(time, rand, policy, kemac({ type: 'TGK', key: Buffer.alloc(16) })),
      'unsupported',
    ],
    [
      'with a key for an interval',
      withPayloads(
        time,
        rand,
        policy,
        kemac({ ...tek, validity: { kind: 'interval', from: Buffer.alloc(6), to: Buffer.alloc(6) } }),
      ),
      'unsupported',
    ],
    ['with an answer in it', withPayloads(...valid.payloads, { type: 'ERR', errorNumber: 0 }), 'malformed'],
    [
      'without a crypto session',
      buildMikey({ header: { ...header, sessions: [] }, payloads: valid.payloads }),
      'malformed',
    ],
    [
      'with an SSRC twice',
      buildMikey({
        header: { ...header, sessions: [...opening.sessions, ...opening.sessions] },
        payloads: valid.payloads,
      }),
      'malformed',
    ],
  ])('%s', (_, message, code) => {
    expect(refusal(() => readNullMessage(message))).toBe(code);
  });

  it.each<[name: string, parameter: number, value: number[]]>([
    ['an unknown parameter', 99, [0]],
    ['AES-F8', 0, [2]],
    ['ARIA', 0, [8]],
    ['SRTP in the clear', 7, [0]],
    ['SRTCP in the clear', 8, [0]],
    ['packets without authentication', 10, [0]],
    ['a tag of 32 bits', 11, [4]],
    ['a key derivation rate', 6, [1]],
    ['a parameter without value', 1, []],
  ])('when its policy asks for %s', (_, parameter, value) => {
    const others = policy.parameters.filter((other) => other.parameter !== parameter);
    const changed: PolicyPayload = {
      ...policy,
      parameters: [...others, { parameter, value: Buffer.from(value) }],
    };
    expect(refusal(() => suiteOfPolicy(changed))).toBe('invalid_policy');
  });

  it('when it is cut off anywhere', () => {
    for (let end = 0; end < bytes.length; end++)
      expect(refusal(() => readNullMessage(bytes.subarray(0, end)))).toBe('malformed');
  });
});

describe('an exchange with a pre-shared key', () => {
  it('gives both sides the same sessions, and keys that differ from session to session', () => {
    const offer = init({ mki: Buffer.from('0102', 'hex') });
    const accepted = accept(offer.message, { ssrcs: new Map([[2, 77]]) });
    expect(accepted.verification).toBeDefined();
    expect(offer.readVerification(accepted.verification ?? Buffer.alloc(0))).toEqual(accepted.sessions);
    const [first, second] = accepted.sessions;
    expect(first?.master.key).not.toEqual(second?.master.key);
    expect([first?.ssrc, second?.ssrc]).toEqual([1, 77]);
    expect(init().sessions[0]?.master).not.toEqual(init().sessions[0]?.master);
  });

  it('has no answer unless one is wanted, and shows no key', () => {
    const tgk = randomBytes(16);
    const { message } = init({ tgk, requestVerification: false });
    expect(accept(message).verification).toBeUndefined();
    expect(message.includes(tgk)).toBe(false);
  });

  it.each([new Map<number, number>(), new Map([[2, 0]])])(
    'refuses to answer without an SSRC for each session (%o)',
    (ssrcs) => {
      expect(refusal(() => accept(init().message, { ssrcs }))).toBe('unsupported');
      const { sessions } = accept(init({ requestVerification: false }).message, { ssrcs });
      expect(sessions.map(({ ssrc }) => ssrc)).toEqual([1, 0]);
    },
  );

  it('leaves room in the memory for the messages of others', () => {
    const replay = createMikeyReplay({ capacityPerOwner: 3 });
    for (let count = 0; count < 3; count++) accept(init().message, { replay });
    expect(refusal(() => accept(init().message, { replay }))).toBe('overloaded');
    const psk = randomBytes(32);
    expect(refusal(() => accept(init({ psk }).message, { replay, psk }))).toBeUndefined();
    const later = { replay, nowMs: NOW_MS + 1_200_000 };
    expect(refusal(() => accept(init(later).message, later))).toBeUndefined();
  });

  it('refuses a message of which any bit is changed', () => {
    const { message } = init({ ids: [{ kind: 'NAI', id: Buffer.from('a@b') }] });
    for (let bit = 0; bit < message.length * 8; bit++) {
      const changed = Buffer.from(message);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(
        refusal(() => accept(changed)),
        `bit ${bit}`,
      ).toBeDefined();
    }
  });

  it('refuses an answer of which any bit is changed', () => {
    const offer = init();
    const answer = accept(offer.message).verification ?? Buffer.alloc(0);
    for (let bit = 0; bit < answer.length * 8; bit++) {
      const changed = Buffer.from(answer);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(
        refusal(() => offer.readVerification(changed)),
        `bit ${bit}`,
      ).toBeDefined();
    }
  });

  it('refuses the answer to another message', () => {
    const other = accept(init().message).verification ?? Buffer.alloc(0);
    expect(refusal(() => init().readVerification(other))).toBe('unauthentic');
  });

  it.each<[name: string, message: () => Uint8Array, code: MikeyErrorCode]>([
    ['under another key', () => init({ psk: randomBytes(32) }).message, 'unauthentic'],
    ['from 5 minutes ago', () => init({ nowMs: NOW_MS - 300_001 }).message, 'invalid_timestamp'],
    ['from 5 minutes ahead', () => init({ nowMs: NOW_MS + 300_001 }).message, 'invalid_timestamp'],
    [
      'without protection',
      () =>
        buildNullMessage({
          suite: 'AEAD_AES_128_GCM',
          master: { key: randomBytes(16), salt: randomBytes(12) },
          sessions: [{ ssrc: 1 }],
          nowMs: NOW_MS,
        }),
      'unsupported_encryption',
    ],
  ])('refuses a message %s', (_, message, code) => {
    expect(refusal(() => accept(message()))).toBe(code);
  });

  it('refuses a message that came before, and one that was not authentic is not remembered', () => {
    const replay = createMikeyReplay();
    const { message } = init();
    expect(refusal(() => accept(message, { replay, psk: randomBytes(32) }))).toBe('unauthentic');
    expect(replay.size()).toBe(0);
    expect(refusal(() => accept(message, { replay }))).toBeUndefined();
    expect(refusal(() => accept(message, { replay }))).toBe('replayed');
    expect(refusal(() => accept(message, { replay, nowMs: NOW_MS + 299_000 }))).toBe('replayed');
  });

  it('survives mutations of valid messages: each is refused with a MikeyError, at once', () => {
    const offer = init();
    const answer = accept(offer.message).verification ?? Buffer.alloc(0);
    const plain = buildNullMessage({
      suite: 'AES_CM_128_HMAC_SHA1_80',
      master: { key: randomBytes(16), salt: randomBytes(14) },
      sessions: [{ ssrc: 1 }],
      nowMs: NOW_MS,
    });
    const edits = fc.array(
      fc.record({ at: fc.nat(), remove: fc.integer({ min: 0, max: 4 }), put: octets(0, 4) }),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(fc.constantFrom(offer.message, answer, plain), edits, (valid, list) => {
        let bytes = Buffer.from(valid);
        for (const { at, remove, put } of list) {
          const from = at % (bytes.length + 1);
          bytes = Buffer.concat([bytes.subarray(0, from), put, bytes.subarray(from + remove)]);
        }
        refusal(() => readNullMessage(bytes));
        if (!bytes.equals(offer.message)) expect(refusal(() => accept(bytes))).toBeDefined();
        if (!bytes.equals(answer)) expect(refusal(() => offer.readVerification(bytes))).toBeDefined();
      }),
      { numRuns: 15_000 },
    );
  });
});

describe('mistakes of the caller are RangeErrors', () => {
  it.each<[name: string, act: () => unknown]>([
    ['an empty key of the PRF', () => prf(Buffer.alloc(0), Buffer.alloc(1), 16)],
    ['a short pre-shared key', () => init({ psk: Buffer.alloc(15) })],
    ['a short TGK', () => init({ tgk: Buffer.alloc(15) })],
    ['a short RAND', () => init({ rand: Buffer.alloc(15) })],
    [
      'three identities',
      () => init({ ids: Array.from({ length: 3 }, () => ({ kind: 'NAI', id: Buffer.alloc(1) })) }),
    ],
    ['no session', () => init({ sessions: [] })],
    [
      '33 sessions',
      () => init({ sessions: Array.from({ length: 33 }, () => ({ suite: 'AEAD_AES_128_GCM', ssrc: 0 })) }),
    ],
    ['an SSRC of 33 bits', () => init({ sessions: [{ suite: 'AEAD_AES_128_GCM', ssrc: 2 ** 32 }] })],
    ['a long MKI', () => init({ mki: Buffer.alloc(129) })],
    ['no time', () => init({ nowMs: Number.NaN })],
  ])('%s', (_, act) => {
    expect(act).toThrow(RangeError);
  });
});
