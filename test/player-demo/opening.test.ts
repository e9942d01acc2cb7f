import { afterEach, describe, expect, test, vi } from 'vitest';
import { FRESH_MS } from '../../player-demo/src/nonces.ts';
import { createOpenings, makeCertificate, type OwnCertificate } from '../../player-demo/src/opening.ts';
import type { ReadyProof } from '../../player-demo/src/signed-fetch.ts';
import { NOW_MS, WHEP } from './support/shop.ts';

afterEach(() => vi.unstubAllGlobals());

/** Openings whose certificates are numbered and whose proofs are text; `fails` are the steps that do not work. */
function setUp(fails: { certificate?: boolean; nonce?: boolean } = {}, head?: OwnCertificate) {
  const clock = { nowMs: NOW_MS };
  const made: OwnCertificate[] = [];
  const asked: number[] = [];
  let nonceAtMs = Number.NaN;
  const openings = createOpenings({
    endpoint: WHEP,
    nowMs: () => clock.nowMs,
    firstCertificate: head === undefined ? undefined : Promise.resolve(head),
    async makeCertificate() {
      if (fails.certificate === true) return null;
      made.push(certificateOf(`sha-256 ${String(made.length)}`));
      return made.at(-1) ?? null;
    },
    signed: {
      async refreshNonce(url, maxAgeMs) {
        expect(url).toBe(WHEP);
        asked.push(maxAgeMs);
        nonceAtMs = clock.nowMs;
      },
      async prove({ method, url, binding }): Promise<ReadyProof | null> {
        if (fails.nonce === true) return null;
        return { text: `${method} ${url} ${binding.attempt}`, binding, ticket: 'ticket', nonceAtMs };
      },
    },
  });
  return { openings, clock, made, asked, fails };
}

const certificateOf = (fingerprint: string): OwnCertificate => ({
  certificate: { expires: 0, getFingerprints: () => [] },
  fingerprint,
});

test('what was made ready is handed out, and its proof binds its own attempt and certificate', async () => {
  const { openings, made } = setUp();
  await openings.warmUp();
  const { attempt, own, proof } = openings.take();
  expect(await own).toBe(made[0]);
  expect(await proof).toEqual({
    text: `POST ${WHEP} ${attempt}`,
    binding: { attempt, fingerprint: made[0]?.fingerprint },
    ticket: 'ticket',
    nonceAtMs: NOW_MS,
  });
  expect(made).toHaveLength(1);
});

test('no two openings share an attempt or a certificate', async () => {
  const { openings, made } = setUp();
  await openings.warmUp();
  const taken = [openings.take(), openings.take()];
  await openings.warmUp();
  taken.push(openings.take());
  expect(new Set(taken.map(({ attempt }) => attempt)).size).toBe(3);
  expect(await Promise.all(taken.map(({ own }) => own))).toEqual(made);
  expect(new Set(made.map(({ fingerprint }) => fingerprint)).size).toBe(3);
});

test('pressing play without warning begins at once, and asks for a nonce only if there is no fresh one', async () => {
  const { openings, asked } = setUp();
  expect(await openings.take().proof).not.toBeNull();
  expect(asked).toEqual([FRESH_MS]);
});

test('many warnings make one opening ready; one from before 30 s is made anew', async () => {
  const { openings, clock, asked, made } = setUp();
  await Promise.all([openings.warmUp(), openings.warmUp()]);
  clock.nowMs += 29_999;
  await openings.warmUp();
  expect(made).toHaveLength(1);
  clock.nowMs += 1;
  await openings.warmUp();
  expect(made).toHaveLength(2);
  expect(asked).toEqual([0, 0]);
});

test.each([
  ['too old', FRESH_MS],
  ['from the future, because the clock was set back', -1],
])('an opening that is %s is not handed out', async (_name, passedMs) => {
  const { openings, clock, made } = setUp();
  await openings.warmUp();
  clock.nowMs += passedMs;
  expect(await openings.take().own).toBe(made[1]);
});

test('pressing play while it is being made ready does not begin a second one', async () => {
  const { openings, made } = setUp();
  const warming = openings.warmUp();
  expect(await openings.take().proof).not.toBeNull();
  await warming;
  expect(made).toHaveLength(1);
});

test('a certificate that was begun with the order is the first one, and not used again', async () => {
  const early = certificateOf('sha-256 early');
  const { openings, made } = setUp({}, early);
  expect(await openings.take().own).toBe(early);
  expect(await openings.take().own).toBe(made[0]);
});

describe('what cannot be made ready', () => {
  test('a certificate: the browser makes it, and the proof waits for the offer', async () => {
    const { openings, asked } = setUp({ certificate: true });
    await openings.warmUp();
    expect(asked).toEqual([0]);
    const { own, proof } = openings.take();
    expect(await own).toBeNull();
    expect(await proof).toBeNull();
  });

  test('a nonce: the next warning tries again', async () => {
    const { openings, made, fails } = setUp({ nonce: true });
    await openings.warmUp();
    fails.nonce = false;
    await openings.warmUp();
    const { own, proof } = openings.take();
    expect(await own).toBe(made[1]);
    expect(await proof).not.toBeNull();
  });
});

describe('a certificate', () => {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const stub = (certificate: object): void => {
    const generateCertificate = async (asked: object): Promise<object> => {
      expect(asked).toEqual(algorithm);
      return certificate;
    };
    vi.stubGlobal('RTCPeerConnection', { generateCertificate });
  };

  test('comes with its fingerprint as an offer would show it', async () => {
    const certificate = { getFingerprints: () => [{ algorithm: 'sha-256', value: 'ab:cd' }] };
    stub(certificate);
    expect(await makeCertificate()).toEqual({ certificate, fingerprint: 'sha-256 AB:CD' });
  });

  test.each([
    ['cannot tell its fingerprint', {}],
    ['tells one by another hash', { getFingerprints: () => [{ algorithm: 'sha-1', value: 'ab' }] }],
  ])('that %s is none', async (_name, certificate) => {
    stub(certificate);
    expect(await makeCertificate()).toBeNull();
  });

  test('is none where the browser has no such thing', async () => {
    vi.stubGlobal('RTCPeerConnection', class {});
    expect(await makeCertificate()).toBeNull();
  });
});
