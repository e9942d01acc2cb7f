import { expect, test } from 'vitest';
import { parseReceipts } from '../../player-demo/src/receipts.ts';
import { fingerprintOf, untilConnected, untilMediaIs } from '../../player-demo/src/whep.ts';
import { FakePeerConnection, FINGERPRINT_TEXT, OFFER_SDP } from './support/fake-webrtc.ts';

const asPeer = (fake: FakePeerConnection): RTCPeerConnection => fake as unknown as RTCPeerConnection;

test('a fingerprint is written with the algorithm in small and the bytes in capital letters', () => {
  expect(fingerprintOf(OFFER_SDP)).toBe(FINGERPRINT_TEXT);
});

test.each([
  ['none', 'v=0\r\n'],
  ['one by SHA-1', 'a=fingerprint:sha-1 AB:CD\r\n'],
  ['one that is too short', 'a=fingerprint:sha-256 AB:CD\r\n'],
  ['one that is too long', `${OFFER_SDP.trimEnd()}:FF\r\n`],
])('a description with %s is refused', (_name, sdp) => {
  expect(() => fingerprintOf(sdp)).toThrow(expect.objectContaining({ code: 'offer_unsupported' }));
});

test.each(['failed', 'closed'] as const)(
  'a connection that is %s has not connected, and its media is gone',
  async (state) => {
    const fake = new FakePeerConnection();
    const { signal } = new AbortController();
    const connected = untilConnected(asPeer(fake), 60_000, signal);
    const change = untilMediaIs('silent', asPeer(fake), 60_000, signal);
    fake.become(state);
    expect(await connected).toBe(false);
    expect(await change).toBe('gone');
  },
);

test('a connection without packets is silent although nobody said so, and flows with the next packet', async () => {
  const fake = new FakePeerConnection();
  const { signal } = new AbortController();
  fake.silent = true;
  expect(await untilMediaIs('silent', asPeer(fake), 1, signal)).toBe('silent');
  fake.silent = false;
  expect(await untilMediaIs('flowing', asPeer(fake), 1, signal)).toBe('flowing');
});

test('an abort ends the waits at once', async () => {
  const fake = asPeer(new FakePeerConnection());
  const signal = AbortSignal.abort();
  expect(await untilConnected(fake, 60_000, signal)).toBe(false);
  expect(await untilMediaIs('silent', fake, 60_000, signal)).toBe('gone');
});

test('receipts are read from a list or from an object that holds one; the rest is left out', () => {
  const receipt = { session: 's-1', seq: 0, mediaMs: 1, bytes: 2, reason: null };
  expect(parseReceipts([receipt])).toEqual([receipt]);
  expect(parseReceipts({ receipts: [receipt, { seq: 'x' }, null] })).toEqual([receipt]);
  expect(parseReceipts('nothing')).toEqual([]);
});
