import { expect, test } from 'vitest';
import type { Opening } from '../../player-demo/src/opening.ts';
import { FINGERPRINT_TEXT } from './support/fake-webrtc.ts';
import { created, openingOf, running, setUp } from './support/watching.ts';

/** A source of openings that were all made ready, and what it has handed out. */
function readyOpenings(fingerprint: string | null = FINGERPRINT_TEXT) {
  const taken: Opening[] = [];
  const take = (): Opening => {
    const opening = openingOf(fingerprint);
    taken.push(opening);
    return opening;
  };
  return { taken, openings: { take } };
}

test('the connection gets the certificate that was made ready, the request its proof and its attempt', async () => {
  const { taken, openings } = readyOpenings();
  const { watch, sent, proofs, certificates, reach } = setUp([created()], [], { openings });
  watch.play();
  await reach('live');
  expect(certificates).toEqual([(await taken[0]?.own)?.certificate]);
  expect(proofs).toEqual([await taken[0]?.proof]);
  expect(sent[0]?.binding).toEqual((await taken[0]?.proof)?.binding);
  await watch.stop();
});

test('a lost reply is asked for again as the same attempt with the same offer and a new proof', async () => {
  const { taken, openings } = readyOpenings();
  const { watch, sent, proofs, reach } = setUp(['network', 'network', created()], [], { openings });
  watch.play();
  await reach('live');
  expect(taken).toHaveLength(1);
  expect(proofs).toEqual([await taken[0]?.proof, null, null]);
  expect(new Set(sent.map(({ binding }) => binding?.attempt)).size).toBe(1);
  expect(new Set(sent.map(({ sdp }) => sdp)).size).toBe(1);
  await watch.stop();
});

test('every connection has an opening of its own', async () => {
  const { taken, openings } = readyOpenings();
  const answers = ['stream_offline', created(), created()];
  const { watch, certificates, reach, drop } = setUp(answers, [running], { openings });
  watch.play();
  await reach('live');
  drop();
  await reach('waiting', 'connection_lost');
  await reach('live');
  expect(taken).toHaveLength(3);
  expect(new Set(certificates).size).toBe(3);
  await watch.stop();
});

test('a proof of another fingerprint than the offer shows is not sent', async () => {
  const { openings } = readyOpenings('sha-256 00');
  const { watch, sent, proofs, reach } = setUp([created()], [], { openings });
  watch.play();
  await reach('live');
  expect(proofs).toEqual([null]);
  expect(sent[0]?.binding?.fingerprint).toBe(FINGERPRINT_TEXT);
  await watch.stop();
});

test('a browser that makes the certificate by itself plays as well', async () => {
  const { openings } = readyOpenings(null);
  const { watch, sent, certificates, reach } = setUp([created()], [], { openings });
  watch.play();
  await reach('live');
  expect(certificates).toEqual([null]);
  expect(sent[0]?.binding?.fingerprint).toBe(FINGERPRINT_TEXT);
  await watch.stop();
});
