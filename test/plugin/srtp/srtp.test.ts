import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createSrtpReceiver,
  createSrtpSender,
  SRTP_SUITES,
  SrtpKeyExhausted,
  type SrtpOptions,
  type SrtpSuiteName,
} from '../../../plugin/srtp/index.ts';

const SUITES = Object.keys(SRTP_SUITES) as SrtpSuiteName[];
const SSRC = 0x1234_5678;

function optionsOf(suite: SrtpSuiteName, more: Partial<SrtpOptions> = {}): SrtpOptions {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  return { suite, master: { key: randomBytes(keyBytes), salt: randomBytes(saltBytes) }, ...more };
}

function rtp(sequence: number, payload: Uint8Array = Buffer.from('payload'), ssrc = SSRC): Buffer {
  const packet = Buffer.alloc(12 + payload.length);
  packet.writeUInt16BE(0x8060, 0);
  packet.writeUInt16BE(sequence & 0xffff, 2);
  packet.writeUInt32BE(ssrc, 8);
  packet.set(payload, 12);
  return packet;
}

function rtcp(ssrc = SSRC): Buffer {
  const packet = Buffer.from('80c90001ffffffff', 'hex');
  packet.writeUInt32BE(ssrc, 4);
  return packet;
}

/** Protected, in memory of its own. */
function protectedBy(protect: (packet: Buffer, into: Buffer) => number, packet: Buffer): Buffer {
  const into = Buffer.alloc(packet.length + 200);
  return Buffer.from(into.subarray(0, protect(packet, into)));
}

describe.each(SUITES)('%s', (suite) => {
  it('comes back as it was, with header extensions and CSRCs in the clear', () => {
    const header = fc.record({
      csrcs: fc.integer({ min: 0, max: 15 }),
      extensionWords: fc.option(fc.integer({ min: 0, max: 20 })),
    });
    fc.assert(
      fc.property(
        header,
        fc.uint8Array({ maxLength: 1500 }),
        fc.uint8Array({ maxLength: 16 }),
        (shape, payload, mki) => {
          const { csrcs, extensionWords } = shape;
          const options = optionsOf(suite, { mki });
          const extension =
            extensionWords === null
              ? Buffer.alloc(0)
              : Buffer.concat([
                  Buffer.from([0xbe, 0xde, 0, extensionWords]),
                  randomBytes(extensionWords * 4),
                ]);
          const fixed = rtp(7, Buffer.alloc(0));
          fixed[0] = 0x80 | csrcs | (extensionWords === null ? 0 : 0x10);
          const clear = Buffer.concat([fixed, randomBytes(csrcs * 4), extension]);
          const packet = Buffer.concat([clear, payload]);
          const sealed = protectedBy(createSrtpSender(options).protectRtp, packet);
          expect(sealed.length).toBe(packet.length + SRTP_SUITES[suite].rtpOverheadBytes + mki.length);
          expect(sealed.subarray(0, clear.length)).toEqual(clear);
          expect(createSrtpReceiver(options).unprotectRtp(sealed)).toEqual(packet);
        },
      ),
    );
  });

  it('takes each packet once, in any order within the window, across the rollover', () => {
    const shuffled = fc
      .tuple(fc.integer({ min: 0, max: 0x7fff }), fc.integer({ min: 1, max: 200 }))
      .chain(([first, count]) =>
        fc.tuple(
          fc.constant(first),
          fc.shuffledSubarray(
            Array.from({ length: count }, (_, index) => index),
            { minLength: 1 },
          ),
        ),
      );
    fc.assert(
      fc.property(shuffled, fc.boolean(), ([low, order], nearTheEnd) => {
        const first = nearTheEnd ? 0xff80 : low;
        const options = optionsOf(suite);
        const sender = createSrtpSender(options);
        const receiver = createSrtpReceiver(options);
        const count = Math.max(...order) + 1;
        const sealed = Array.from({ length: count }, (_, index) =>
          protectedBy(sender.protectRtp, rtp(first + index)),
        );
        // The first one fixes where the rollover counter is.
        expect(receiver.unprotectRtp(Buffer.from(sealed[0]!))).toEqual(rtp(first));
        for (const index of order.filter((each) => each > 0)) {
          expect(receiver.unprotectRtp(Buffer.from(sealed[index]!))).toEqual(rtp(first + index));
        }
        for (const index of order)
          expect(receiver.unprotectRtp(Buffer.from(sealed[index]!))).toBe('replayed');
      }),
      { numRuns: 50 },
    );
  });

  it('opens nothing with any bit changed', () => {
    const options = optionsOf(suite, { mki: Buffer.from('0001', 'hex') });
    const sender = createSrtpSender(options);
    for (const [protect, packet] of [
      [sender.protectRtp, rtp(9)],
      [sender.protectRtcp, rtcp()],
    ] as const) {
      const sealed = protectedBy(protect, packet);
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const receiver = createSrtpReceiver(options);
        const changed = Buffer.from(sealed);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        const opened =
          protect === sender.protectRtp ? receiver.unprotectRtp(changed) : receiver.unprotectRtcp(changed);
        expect(typeof opened, `bit ${bit}`).toBe('string');
      }
    }
  });

  it('RTCP comes back as it was, once', () => {
    const options = optionsOf(suite);
    const sender = createSrtpSender(options);
    const receiver = createSrtpReceiver(options);
    for (let count = 0; count < 3; count++) {
      const sealed = protectedBy(sender.protectRtcp, rtcp());
      expect(sealed.length).toBe(8 + SRTP_SUITES[suite].rtcpOverheadBytes);
      expect(receiver.unprotectRtcp(Buffer.from(sealed))).toEqual(rtcp());
      expect(receiver.unprotectRtcp(Buffer.from(sealed))).toBe('replayed');
    }
  });

  it('never makes the same key stream twice', () => {
    const sender = createSrtpSender(optionsOf(suite));
    const into = Buffer.alloc(200);
    sender.protectRtp(rtp(10), into);
    expect(() => sender.protectRtp(rtp(10), into)).toThrow(RangeError);
    expect(() => sender.protectRtp(rtp(9), into)).toThrow(RangeError);
    expect(() => sender.protectRtp(rtp(10 + 0x8000), into)).toThrow(RangeError);
    expect(sender.protectRtp(rtp(10 + 0x7fff), into)).toBeGreaterThan(0);
  });

  it('two streams of one key, and two keys, share no bytes', () => {
    const payload = Buffer.alloc(100);
    const sealed = [optionsOf(suite), optionsOf(suite)].flatMap((options) => {
      const sender = createSrtpSender(options);
      return [SSRC, SSRC + 1].map((ssrc) =>
        protectedBy(sender.protectRtp, rtp(1, payload, ssrc)).toString('hex', 12, 112),
      );
    });
    expect(new Set(sealed).size).toBe(4);
  });

  it('the last packet of a master key is the last', () => {
    const options = optionsOf(suite, { rocs: new Map([[SSRC, 0xffff_ffff]]) });
    const sender = createSrtpSender(options);
    const sealed = protectedBy(sender.protectRtp, rtp(0xffff));
    expect(createSrtpReceiver(options).unprotectRtp(sealed)).toEqual(rtp(0xffff));
    expect(() => protectedBy(sender.protectRtp, rtp(0))).toThrow(SrtpKeyExhausted);
  });

  it('a stream whose rollover counter is not where it should be is not authentic', () => {
    const options = optionsOf(suite, { rocs: new Map([[SSRC, 3]]) });
    const sealed = protectedBy(createSrtpSender(options).protectRtp, rtp(1));
    const { suite: _, ...rest } = options;
    expect(createSrtpReceiver({ ...rest, suite, rocs: new Map() }).unprotectRtp(Buffer.from(sealed))).toBe(
      'unauthentic',
    );
    expect(createSrtpReceiver(options).unprotectRtp(sealed)).toEqual(rtp(1));
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['a header alone', rtp(1, Buffer.alloc(0))],
    ['another version', Buffer.concat([Buffer.from([0x40]), Buffer.alloc(60)])],
    ['CSRCs that are not there', Buffer.concat([Buffer.from([0x8f]), Buffer.alloc(40)])],
    ['an extension longer than the packet', Buffer.concat([rtp(1).fill(0x90, 0, 1), Buffer.alloc(40, 0xff)])],
  ])('%s is malformed', (_name, packet) => {
    expect(createSrtpReceiver(optionsOf(suite)).unprotectRtp(packet)).toBe('malformed');
  });

  it('takes no RTCP in the clear, and no other MKI', () => {
    const options = optionsOf(suite, { mki: Buffer.from('aabbccdd', 'hex') });
    const receiver = createSrtpReceiver(options);
    const sealed = protectedBy(createSrtpSender(options).protectRtcp, rtcp());
    const clear = Buffer.from(sealed);
    const { rtcpIndexFromEndBytes } = SRTP_SUITES[suite];
    clear[clear.length - rtcpIndexFromEndBytes - 4]! &= 0x7f;
    expect(receiver.unprotectRtcp(clear)).toBe('unencrypted');
    const other = { ...options, mki: Buffer.from('aabbccde', 'hex') };
    expect(createSrtpReceiver(other).unprotectRtcp(sealed)).toBe('unknown_mki');
  });

  it('keeps nothing for packets that are not authentic', () => {
    const options = optionsOf(suite);
    const receiver = createSrtpReceiver(options);
    for (let ssrc = 0; ssrc < 1000; ssrc++) receiver.unprotectRtp(rtp(1, randomBytes(50), ssrc));
    expect(receiver.unprotectRtp(protectedBy(createSrtpSender(options).protectRtp, rtp(1)))).toEqual(rtp(1));
  });

  it('keeps to the lifetime of the key, for RTP and RTCP each', () => {
    const sender = createSrtpSender(optionsOf(suite, { lifetimePackets: 2 }));
    protectedBy(sender.protectRtp, rtp(1));
    protectedBy(sender.protectRtp, rtp(1, Buffer.from('x'), SSRC + 1));
    expect(() => protectedBy(sender.protectRtp, rtp(2))).toThrow(SrtpKeyExhausted);
    for (let count = 0; count < 2; count++) protectedBy(sender.protectRtcp, rtcp());
    expect(() => protectedBy(sender.protectRtcp, rtcp())).toThrow(SrtpKeyExhausted);
    expect(() => createSrtpSender(optionsOf(suite, { lifetimePackets: 0 }))).toThrow(RangeError);
  });

  it('refuses keys of another length, and memory that is too short', () => {
    const { master } = optionsOf(suite);
    expect(() => createSrtpSender({ suite, master: { ...master, key: randomBytes(17) } })).toThrow(
      RangeError,
    );
    expect(() => createSrtpReceiver({ suite, master: { ...master, salt: randomBytes(13) } })).toThrow(
      RangeError,
    );
    const sender = createSrtpSender({ suite, master });
    expect(() => sender.protectRtp(rtp(1), Buffer.alloc(20))).toThrow(RangeError);
  });
});

it('AES-CM refuses what is longer than its key stream, and protects what follows as if it had not come', () => {
  const options = optionsOf('AES_CM_128_HMAC_SHA1_80');
  const sender = createSrtpSender(options);
  const receiver = createSrtpReceiver(options);
  const longest = Buffer.alloc(2 ** 20, 7);
  for (const sequence of [1, 2]) {
    expect(() => protectedBy(sender.protectRtp, rtp(sequence, Buffer.alloc(2 ** 20 + 1)))).toThrow(
      RangeError,
    );
    const opened = receiver.unprotectRtp(protectedBy(sender.protectRtp, rtp(sequence, longest)));
    expect(opened instanceof Buffer && opened.equals(rtp(sequence, longest))).toBe(true);
  }
});
