import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createDamage,
  createFates,
  createRandom,
  startUdpRelay,
  type Fate,
  type Impairment,
  type UdpRelay,
  type UdpRelayOptions,
} from './udp-relay.ts';

function fatesOf(seed: number, impairment: Impairment, count: number, everyMs = 1): Fate[] {
  const decide = createFates(seed);
  return Array.from({ length: count }, (_, index) => decide(impairment, index * everyMs));
}

const shareOf = (fates: readonly Fate[], has: (fate: Fate) => boolean): number =>
  fates.filter(has).length / fates.length;

describe('the fate of datagrams', () => {
  it('follows from the seed', () => {
    const bad = { loss: 0.1, duplication: 0.1, reordering: 0.1, delayMs: 5, jitterMs: 20 };
    expect(fatesOf(7, bad, 1000)).toEqual(fatesOf(7, bad, 1000));
    expect(fatesOf(7, bad, 1000)).not.toEqual(fatesOf(8, bad, 1000));
  });

  it('is the same for the nth datagram, whatever else is wrong with the network', () => {
    const lost = (impairment: Impairment): number[] =>
      fatesOf(3, impairment, 1000).flatMap(({ dueMs }, index) => (dueMs.length === 0 ? [index] : []));
    expect(lost({ loss: 0.05 })).toEqual(
      lost({ loss: 0.05, reordering: 0.3, jitterMs: 50, duplication: 0.2 }),
    );
  });

  it('is to arrive at once, in order, on a network without faults', () => {
    const expected = Array.from({ length: 100 }, (_, index) => ({ dueMs: [index], isReordered: false }));
    expect(fatesOf(1, {}, 100)).toEqual(expected);
  });

  it.each<[string, Impairment, (fate: Fate) => boolean]>([
    ['lost', { loss: 0.05 }, ({ dueMs }) => dueMs.length === 0],
    ['doubled', { duplication: 0.05 }, ({ dueMs }) => dueMs.length === 2],
    ['held back', { reordering: 0.05 }, ({ isReordered }) => isReordered],
  ])('is to be %s as often as asked', (_name, impairment, has) => {
    // 20,000 tries: a standard deviation is 0.0015.
    const share = shareOf(fatesOf(42, impairment, 20_000), has);
    expect(share).toBeGreaterThan(0.042);
    expect(share).toBeLessThan(0.058);
  });

  it('is to be late by the delay and at most the jitter, never to overtake unless held back', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat(100),
        fc.nat(100),
        fc.array(fc.nat(30), { minLength: 1, maxLength: 200 }),
        (seed, delayMs, jitterMs, gapsMs) => {
          const decide = createFates(seed);
          let nowMs = 0;
          let latestMs = 0;
          for (const gapMs of gapsMs) {
            nowMs += gapMs;
            const { dueMs, isReordered } = decide(
              { delayMs, jitterMs, reordering: 0.2, reorderMs: 7 },
              nowMs,
            );
            const dueInOrderMs = (dueMs[0] ?? NaN) - (isReordered ? 7 : 0);
            expect(dueInOrderMs).toBeGreaterThanOrEqual(nowMs + delayMs);
            expect(dueInOrderMs).toBeLessThan(nowMs + delayMs + jitterMs + 1e-6 + (jitterMs === 0 ? 1 : 0));
            if (isReordered) continue;
            expect(dueInOrderMs).toBeGreaterThanOrEqual(latestMs);
            latestMs = dueInOrderMs;
          }
        },
      ),
    );
  });
});

it('draws numbers that are evenly spread and at least 0, below 1', () => {
  const random = createRandom(0);
  const tenths = Array<number>(10).fill(0);
  for (let draw = 0; draw < 10_000; draw++) {
    const tenth = Math.floor(random() * 10);
    tenths[tenth] = (tenths[tenth] ?? NaN) + 1;
  }
  expect(tenths).toHaveLength(10);
  for (const count of tenths) expect(Math.abs(count - 1000)).toBeLessThan(120);
});

it('turns over as many bits as asked, the same ones for the same seed, and writes to nobody else’s memory', () => {
  const damaged = (seed: number, datagramBytes: number): Buffer => {
    const damage = createDamage(seed);
    const sent = Buffer.alloc(datagramBytes);
    const arrived = Array.from({ length: 1_000_000 / datagramBytes }, () => damage(sent, 1e-4));
    expect(sent).toEqual(Buffer.alloc(datagramBytes));
    return Buffer.concat(arrived);
  };
  const wrong = damaged(1, 100).reduce((sum, octet) => sum + octet.toString(2).replaceAll('0', '').length, 0);
  // Of 8 million: a standard deviation is 28.
  expect(Math.abs(wrong - 800)).toBeLessThan(140);
  expect(damaged(1, 1000)).toEqual(damaged(1, 100));
  expect(damaged(2, 100)).not.toEqual(damaged(1, 100));
});

describe('a relay', () => {
  const cleanup: (() => unknown)[] = [];
  afterEach(() => {
    for (const undo of cleanup.splice(0)) undo();
  });

  async function socket(): Promise<Socket> {
    const made = createSocket('udp4').bind(0, '127.0.0.1');
    await once(made, 'listening');
    cleanup.push(() => made.close());
    return made;
  }

  /** A server that says everything back, behind a relay. */
  async function echoBehind(options: Omit<UdpRelayOptions, 'server'>): Promise<UdpRelay> {
    const server = await socket();
    server.on('message', (datagram, from) => server.send(datagram, from.port, from.address));
    const relay = await startUdpRelay({
      server: { address: '127.0.0.1', port: server.address().port },
      ...options,
    });
    cleanup.push(() => relay.close());
    return relay;
  }

  /** Sends the numbers from 0, and resolves with what has come back once it is so many. */
  async function ask(relay: UdpRelay, client: Socket, count: number, expected = count): Promise<number[]> {
    const replies: number[] = [];
    const all = new Promise<number[]>((resolve) => {
      client.on('message', (datagram) => {
        replies.push(datagram.readUInt32BE());
        if (replies.length === expected) resolve(replies);
      });
    });
    for (let number = 0; number < count; number++) {
      const datagram = Buffer.alloc(100);
      datagram.writeUInt32BE(number);
      client.send(datagram, relay.port, '127.0.0.1');
    }
    return all;
  }

  it('carries datagrams there and back, each client its own', async () => {
    const relay = await echoBehind({ seed: 1 });
    const [one, two] = await Promise.all([socket(), socket()]);
    const [first, second] = await Promise.all([ask(relay, one, 50), ask(relay, two, 30)]);
    expect(first).toEqual(Array.from({ length: 50 }, (_, number) => number));
    expect(second).toEqual(Array.from({ length: 30 }, (_, number) => number));
    expect(relay.counts().towardsClients).toMatchObject({ received: 80, sent: 80, lost: 0 });
  });

  it('loses in each direction what it is told to, and no other', async () => {
    const relay = await echoBehind({
      seed: 5,
      towardsServer: { loss: 0.5 },
      towardsClients: { duplication: 1 },
    });
    const arriving = fatesOf(5, { loss: 0.5 }, 100).flatMap(({ dueMs }, number) =>
      dueMs.length === 0 ? [] : [number],
    );
    const replies = await ask(relay, await socket(), 100, arriving.length * 2);
    expect(replies).toEqual(arriving.flatMap((number) => [number, number]));
    expect(relay.counts().towardsServer).toMatchObject({ received: 100, lost: 100 - arriving.length });
  });

  it('lets later datagrams overtake one that is held back', async () => {
    const relay = await echoBehind({ seed: 9, towardsServer: { reordering: 0.2, reorderMs: 30 } });
    const replies = await ask(relay, await socket(), 50);
    expect(replies).not.toEqual(replies.toSorted((a, b) => a - b));
    expect(new Set(replies).size).toBe(50);
    expect(relay.counts().towardsServer.reordered).toBeGreaterThan(0);
  });

  it('delays', async () => {
    const relay = await echoBehind({
      seed: 2,
      towardsServer: { delayMs: 30 },
      towardsClients: { delayMs: 20 },
    });
    const askedMs = performance.now();
    await ask(relay, await socket(), 1);
    expect(performance.now() - askedMs).toBeGreaterThanOrEqual(49);
  });

  it('changes while it runs', async () => {
    const relay = await echoBehind({ seed: 2, towardsServer: { loss: 1 } });
    const client = await socket();
    client.send(Buffer.alloc(4), relay.port, '127.0.0.1');
    await expect.poll(() => relay.counts().towardsServer.lost).toBe(1);
    relay.change({ towardsServer: {} });
    expect(await ask(relay, client, 3)).toEqual([0, 1, 2]);
  });

  it('holds no more than it may, and takes no more clients than it may', async () => {
    const relay = await echoBehind({
      seed: 2,
      towardsServer: { delayMs: 60_000 },
      maxWaiting: 5,
      maxClients: 1,
    });
    const [client, stranger] = await Promise.all([socket(), socket()]);
    for (let sent = 0; sent < 8; sent++) client.send(Buffer.alloc(4), relay.port, '127.0.0.1');
    await expect
      .poll(() => relay.counts().towardsServer)
      .toMatchObject({ received: 8, overflowed: 3, sent: 0 });
    stranger.send(Buffer.alloc(4), relay.port, '127.0.0.1');
    await expect.poll(() => relay.counts().towardsServer).toMatchObject({ received: 8, overflowed: 4 });
  });

  it('names a seed that repeats its run', async () => {
    const relay = await echoBehind({});
    expect(relay.seed).toBeGreaterThanOrEqual(0);
    expect(Number.isInteger(relay.seed)).toBe(true);
  });
});
