import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { asDenial } from '../../../plugin/errors.ts';
import {
  createProof,
  createProofVerifier,
  createNonces,
  openSharedReplay,
  thumbprint,
  type SharedReplay,
} from '../../../plugin/ticket/index.ts';
import { HOLDER_ED25519 } from './insecure-test-keys.ts';
import { codeOf, FrozenClock, holderKey } from './support.ts';

const USER = fileURLToPath(new URL('./replay-user.ts', import.meta.url));

let directory: string;
let clock: FrozenClock;
let opened: SharedReplay[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'usher-replay-'));
  clock = new FrozenClock();
  opened = [];
});
afterEach(() => {
  for (const memory of opened) memory.close();
  rmSync(directory, { recursive: true });
});

function open(capacity?: number): SharedReplay {
  const memory = openSharedReplay({ directory, clock, ...(capacity === undefined ? {} : { capacity }) });
  opened.push(memory);
  return memory;
}
const nowSeconds = (): number => clock.ms / 1000;

function use({ replay }: SharedReplay, id: string, atSeconds = nowSeconds()): string {
  try {
    replay.use(id, 'proof_replayed', atSeconds);
    return 'ok';
  } catch (error) {
    return asDenial(error).code;
  }
}
const logs = (): string[] => readdirSync(directory).filter((name) => name.endsWith('.log'));

describe('an id', () => {
  it('is good once, in whichever process', () => {
    const [one, two] = [open(), open()];
    expect(use(one, 'a')).toBe('ok');
    expect(use(one, 'a')).toBe('proof_replayed');
    expect(use(two, 'a')).toBe('proof_replayed');
    expect(use(two, 'b')).toBe('ok');
    expect(use(one, 'b')).toBe('proof_replayed');
  });

  it('is remembered over a restart', () => {
    expect(use(open(), 'a')).toBe('ok');
    opened.pop()?.close();
    expect(use(open(), 'a')).toBe('proof_replayed');
  });

  it('is refused by the code that the caller wants, and not without its time', () => {
    const { replay } = open();
    replay.use('a', 'message_replayed', nowSeconds());
    expect(() => replay.use('a', 'message_replayed', nowSeconds())).toThrow(
      expect.objectContaining({ code: 'message_replayed' }),
    );
    expect(() => replay.use('b')).toThrow(TypeError);
  });

  it.each([-60, -1, 0, 5])('of a time %i s off is remembered for as long as a proof may be shown', (off) => {
    const [one, two] = [open(), open()];
    const atSeconds = nowSeconds() + off;
    expect(use(one, 'a', atSeconds)).toBe('ok');
    for (let second = 0; second < 125; second += 1) {
      clock.advanceSeconds(1);
      expect(use(second % 2 === 0 ? one : two, 'a', atSeconds)).toBe('proof_replayed');
    }
  });

  it('so old that its file is gone is taken for used, also when the clock is set back', () => {
    const memory = open();
    const atSeconds = nowSeconds();
    expect(use(memory, 'a', atSeconds)).toBe('ok');
    clock.advanceSeconds(300);
    expect(use(memory, 'b')).toBe('ok');
    expect(logs()).toHaveLength(1);
    clock.advanceSeconds(-300);
    expect(use(memory, 'a', atSeconds)).toBe('proof_replayed');
    expect(use(memory, 'c', atSeconds)).toBe('proof_replayed');
  });
});

it('files of processes that are gone are removed', () => {
  writeFileSync(join(directory, '1.log'), '');
  writeFileSync(join(directory, 'notes.txt'), '');
  use(open(), 'a');
  expect(readdirSync(directory)).toContain('notes.txt');
  expect(logs()).not.toContain('1.log');
});

it('only the owner can read what is kept', () => {
  use(open(), 'a');
  for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o077).toBe(0);
});

it('a full memory refuses what is new, and counts what other processes have used', () => {
  const [one, two] = [open(3), open(3)];
  for (const id of ['a', 'b', 'c']) expect(use(one, id)).toBe('ok');
  expect(use(two, 'd')).toBe('overloaded');
  expect(use(two, 'a')).toBe('proof_replayed');
  clock.advanceSeconds(300);
  expect(use(two, 'd')).toBe('ok');
});

it('an id that is repeated again and again takes no more room', () => {
  const memory = open();
  use(memory, 'a');
  const size = (): number => statSync(join(directory, logs()[0] ?? '')).size;
  const before = size();
  for (let time = 0; time < 100; time += 1) use(memory, 'a');
  expect(size()).toBe(before);
});

it('a damaged file lets nothing in until the next one', () => {
  const [one, two] = [open(), open()];
  expect(use(one, 'a')).toBe('ok');
  appendFileSync(join(directory, logs()[0] ?? ''), 'half a record');
  for (const memory of [one, two, open()]) {
    expect(use(memory, 'a')).toBe('proof_replayed');
    expect(use(memory, 'b')).not.toBe('ok');
  }
  clock.advanceSeconds(60);
  expect(use(one, 'b')).toBe('ok');
});

it('behaves as one list would, whichever process uses it', () => {
  const step = fc.record({
    wait: fc.nat(20),
    who: fc.nat(2),
    id: fc.constantFrom('a', 'b', 'c', 'd'),
    off: fc.integer({ min: -60, max: 5 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const folder = mkdtempSync(join(tmpdir(), 'usher-replay-'));
      const time = new FrozenClock();
      const members = [0, 1, 2].map(() => openSharedReplay({ directory: folder, clock: time }));
      const used = new Set<string>();
      for (const { wait, who, id, off } of steps) {
        time.advanceSeconds(wait);
        const atSeconds = time.ms / 1000 + off;
        const name = `${id} ${atSeconds}`;
        expect(use(members[who] as SharedReplay, name, atSeconds)).toBe(
          used.has(name) ? 'proof_replayed' : 'ok',
        );
        used.add(name);
      }
      for (const member of members) member.close();
      rmSync(folder, { recursive: true });
    }),
    { seed: 9449, numRuns: 100 },
  );
});

it('a proof is good in one of two processes, with a nonce of either', async () => {
  const processes = [open(), open()].map(({ replay, secret }) => {
    const nonces = createNonces({ secret, clock });
    return { nonces, verifier: createProofVerifier({ nonces, replay, clock }) };
  });
  const [one, two] = processes as [(typeof processes)[0], (typeof processes)[0]];
  const ticket = 'a.b.c';
  const request = { method: 'POST', url: 'https://media.example/whep/live/a', ticket };
  const proof = await createProof({
    ...request,
    privateKey: holderKey.privateKey,
    publicJwk: holderKey.publicJwk,
    alg: 'Ed25519',
    nonce: one.nonces.current(),
    nowSeconds: nowSeconds(),
  });
  const presented = { ...request, proof, jkt: thumbprint(HOLDER_ED25519) };
  expect(await two.verifier.verify(presented)).toMatchObject({ attempt: null });
  expect(await codeOf(one.verifier.verify(presented))).toBe('proof_replayed');
});

it('of 4 processes that use the same 5,000 ids at once, each id is good in exactly one', async () => {
  const count = 5000;
  const children = Array.from({ length: 4 }, () => fork(USER, [directory, String(count)]));
  await Promise.all(children.map((child) => once(child, 'message')));
  const answers = children.map((child) => once(child, 'message'));
  const atSeconds = Math.floor(Date.now() / 1000);
  for (const child of children) child.send({ atSeconds });
  const results = (await Promise.all(answers)).map(
    ([message]) => message as { won: number[]; failed: unknown[]; nonce: string },
  );
  expect(results.flatMap(({ failed }) => failed)).toEqual([]);
  expect(results.flatMap(({ won }) => won).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: count }, (_, id) => id),
  );
  expect(new Set(results.map(({ nonce }) => nonce)).size).toBe(1);
}, 30_000);
