import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import {
  createFanOut,
  createSrtpReceiver,
  SRTP_SUITES,
  type FanOut,
  type FanOutOptions,
  type Outlet,
  type OutletKey,
  type SrtpReceiver,
  type SrtpSuiteName,
} from '../../../plugin/srtp/index.ts';
import { COUNTERS, COUNTERS_LENGTH } from '../../../plugin/srtp/fan-out-outlet.ts';
import { openSocket } from '../../../plugin/srtp/fan-out-socket.ts';
import { openThread } from '../../../plugin/srtp/fan-out-thread.ts';

const SUITES = Object.keys(SRTP_SUITES) as SrtpSuiteName[];
const opened: { close(): unknown }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

async function open(options: Partial<FanOutOptions> = {}): Promise<FanOut> {
  const fanOut = await createFanOut({ address: '127.0.0.1', ...options });
  opened.push(fanOut);
  return fanOut;
}

function newKey(suite: SrtpSuiteName): OutletKey {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  return { suite, master: { key: randomBytes(keyBytes), salt: randomBytes(saltBytes) } };
}

function rtp(sequence: number, text = `packet ${sequence}`): Buffer {
  const packet = Buffer.alloc(12 + text.length);
  packet.writeUInt16BE(0x80e0, 0);
  packet.writeUInt16BE(sequence & 0xffff, 2);
  packet.writeUInt32BE(sequence * 3000, 4);
  packet.writeUInt32BE(0xabcd_ef01, 8);
  packet.write(text, 12);
  return packet;
}

interface Got {
  readonly sequence: number;
  readonly payloadType: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly text: string;
}

function read(receiver: SrtpReceiver, sealed: Buffer): Got | string {
  const packet = receiver.unprotectRtp(Buffer.from(sealed));
  if (typeof packet === 'string') return packet;
  return {
    sequence: packet.readUInt16BE(2),
    payloadType: packet.readUInt8(1),
    timestamp: packet.readUInt32BE(4),
    ssrc: packet.readUInt32BE(8),
    text: packet.toString('latin1', 12),
  };
}

const LINE = { ssrc: 77, sequence: 5000, payloadType: 100, timestampOffset: 0 };

/** A receiver that opens what comes to it. */
function sinkOf(key: OutletKey) {
  const got: (Got | string)[] = [];
  const wire: Buffer[] = [];
  let receiver = createSrtpReceiver(key);
  const to = (packet: Buffer): boolean => {
    wire.push(Buffer.from(packet));
    got.push(read(receiver, packet));
    return true;
  };
  const numbers = (): unknown[] => got.map((each) => (typeof each === 'string' ? each : each.sequence));
  return {
    got,
    wire,
    to,
    numbers,
    expectKey: (options: Parameters<typeof createSrtpReceiver>[0]) =>
      (receiver = createSrtpReceiver(options)),
  };
}

async function udpReceiver(address = '127.0.0.1'): Promise<{ socket: Socket; port: number }> {
  const socket = createSocket('udp4');
  const bound = once(socket, 'listening');
  socket.bind(0, address);
  await bound;
  opened.push({ close: () => socket.close() });
  return { socket, port: socket.address().port };
}

describe.each(SUITES.flatMap((suite) => [0, 2].map((threads) => ({ suite, threads }))))(
  '$suite over UDP, threads: $threads',
  ({ suite, threads }) => {
    it('every UDP receiver gets its own stream, from the announced port, and no two share ciphertext', async () => {
      const stream = (await open({ threads })).openStream();
      const peers = await Promise.all(
        [0, 1, 2].map(async (index) => {
          const { socket, port } = await udpReceiver();
          const key = newKey(suite);
          const line = { ssrc: 100 + index, sequence: 1000 * index, payloadType: 96 + index };
          const handle = stream.add({
            ...key,
            ...line,
            timestampOffset: index,
            to: { address: '127.0.0.1', port },
          });
          return { socket, key, line, handle, index };
        }),
      );
      const arrivals = peers.map(
        ({ socket }) => once(socket, 'message') as Promise<[Buffer, { port: number }]>,
      );
      const source = rtp(9, 'the same for all');
      stream.send(source);
      const messages = await Promise.all(arrivals);
      for (const [at, { key, line, handle, index }] of peers.entries()) {
        const [message, from] = messages[at]!;
        expect(from.port).toBe(handle.localPort);
        expect(read(createSrtpReceiver(key), message)).toEqual({
          ...{ ssrc: line.ssrc, sequence: line.sequence, payloadType: 0x80 | line.payloadType },
          ...{ timestamp: 27_000 + index, text: 'the same for all' },
        });
        await expect.poll(handle.counters).toEqual({
          ...{ packets: 1, payloadBytes: 16, wireBytes: message.length, dropped: 0 },
          ...{ timestamp: 27_000 + index, nextSequence: line.sequence + 1 },
        });
      }
      expect(new Set(messages.map(([message]) => message.toString('hex', 12, 28))).size).toBe(3);
      expect(source).toEqual(rtp(9, 'the same for all'));
    });

    it('goes on in order with a new key, after a pause, and not after the end', async () => {
      const fanOut = await open({ threads });
      const stream = fanOut.openStream();
      const { socket, port } = await udpReceiver();
      const [key, nextKey] = [newKey(suite), { ...newKey(suite), mki: Buffer.from('02', 'hex') }];
      const handle = stream.add({ ...key, ...LINE, to: { address: '127.0.0.1', port } });
      const receivers = [key, nextKey].map(createSrtpReceiver);
      const came: unknown[] = [];
      socket.on('message', (packet) => {
        const [before, after] = receivers.map((receiver) => read(receiver, packet));
        came.push(
          typeof before === 'object'
            ? [1, before.sequence]
            : typeof after === 'object' && [2, after.sequence],
        );
      });
      stream.send(rtp(1));
      handle.rekey(nextKey);
      stream.send(rtp(2));
      handle.pause();
      stream.send(rtp(3));
      handle.resume();
      stream.send(rtp(4));
      await expect.poll(() => came.length).toBe(3);
      expect(came.toSorted()).toEqual([
        [1, 5000],
        [2, 5001],
        [2, 5002],
      ]);
      expect(handle.counters()).toMatchObject({ packets: 3, dropped: 0 });
      handle.remove();
      stream.send(rtp(5));
      stream.close();
      await fanOut.close();
      expect(came).toHaveLength(3);
    });
  },
);

describe.each(SUITES)('%s', (suite) => {
  it('sequence numbers of the receiver wrap with its own rollover counter', async () => {
    const key = newKey(suite);
    const sink = sinkOf(key);
    const stream = (await open()).openStream();
    const handle = stream.add({ ...key, ...LINE, sequence: 0xfffe, to: sink.to });
    for (const sequence of [7, 8, 9, 10]) stream.send(rtp(sequence));
    expect(sink.numbers()).toEqual([0xfffe, 0xffff, 0, 1]);
    expect(handle.counters().nextSequence).toBe(2);
  });

  it('a new key goes on with the rollover counter and the RTCP index', async () => {
    const key = newKey(suite);
    const sink = sinkOf(key);
    const stream = (await open()).openStream();
    const handle = stream.add({ ...key, ...LINE, sequence: 0xffff, to: sink.to });
    stream.send(rtp(1));
    stream.send(rtp(2));
    const report = Buffer.from('80c90001ffffffff', 'hex');
    handle.protectRtcp(report);
    const next = { ...newKey(suite), mki: Buffer.from('00000002', 'hex') };
    sink.expectKey({ ...next, rocs: new Map([[LINE.ssrc, 1]]) });
    handle.rekey(next);
    stream.send(rtp(3));
    expect(sink.numbers()).toEqual([0xffff, 0, 1]);
    const sealed = handle.protectRtcp(report);
    const { rtcpIndexFromEndBytes } = SRTP_SUITES[suite];
    expect(sealed.readUInt32BE(sealed.length - rtcpIndexFromEndBytes - 4)).toBe(0x8000_0002);
    expect(createSrtpReceiver(next).unprotectRtcp(sealed)).toEqual(report);
  });

  it('a new key whose first packet is behind a gap over the end of the numbers has the next counter', async () => {
    const key = newKey(suite);
    const sink = sinkOf(key);
    const stream = (await open()).openStream();
    const handle = stream.add({ ...key, ...LINE, sequence: 0xfffe, to: sink.to });
    stream.send(rtp(1));
    const next = newKey(suite);
    sink.expectKey({ ...next, rocs: new Map([[LINE.ssrc, 1]]) });
    handle.rekey(next);
    stream.send(rtp(6));
    expect(sink.numbers()).toEqual([0xfffe, 3]);
  });
});

const [SUITE] = SUITES as [SrtpSuiteName];

async function oneSink(more: Partial<Outlet> = {}) {
  const key = newKey(SUITE);
  const sink = sinkOf(key);
  const fanOut = await open();
  const stream = fanOut.openStream();
  const handle = stream.add({ ...key, ...LINE, to: sink.to, ...more });
  const send = (...sequences: number[]): void => sequences.forEach((sequence) => stream.send(rtp(sequence)));
  return { fanOut, stream, handle, send, ...sink };
}

describe('numbers', () => {
  it.each([
    ['a gap stays a gap', [1, 2, 5, 6], [5000, 5001, 5004, 5005], 0],
    ['a gap over the wrap of the source', [0xfffe, 1, 2], [5000, 5003, 5004], 0],
    [
      'a late packet and a second one of the same number are dropped',
      [10, 12, 11, 12, 13],
      [5000, 5002, 5003],
      2,
    ],
    [
      'a source that begins anew far ahead goes on without a gap',
      [10, 11, 20_000, 20_001],
      [5000, 5001, 5002, 5003],
      0,
    ],
    ['one that begins anew far behind too', [40_000, 40_001, 10, 11], [5000, 5001, 5002, 5003], 0],
  ])('%s', async (_name, sequences, expected, dropped) => {
    const { send, numbers, handle } = await oneSink();
    send(...sequences);
    expect(numbers()).toEqual(expected);
    expect(handle.counters().dropped).toBe(dropped);
  });

  it('a receiver that comes later begins at its own number, one that pauses goes on where it was', async () => {
    const { stream, send, numbers, handle } = await oneSink();
    send(1, 2);
    const key = newKey(SUITE);
    const later = sinkOf(key);
    const second = stream.add({ ...key, ...LINE, ssrc: 78, sequence: 9, isPaused: true, to: later.to });
    handle.pause();
    send(3, 4);
    second.resume();
    handle.resume();
    send(6);
    expect(numbers()).toEqual([5000, 5001, 5002]);
    expect(later.numbers()).toEqual([9]);
    expect(handle.counters()).toMatchObject({ packets: 3, dropped: 0 });
  });

  it('timestamps wrap', async () => {
    const { send, got } = await oneSink({ timestampOffset: 0xffff_ffff });
    send(1);
    expect(got).toMatchObject([{ timestamp: 2999 }]);
  });

  it('the marker bit, CSRCs and header extensions stay', async () => {
    const { stream, wire } = await oneSink();
    const header = Buffer.from('91e0000100000000000000010000000abede000110aa0000', 'hex');
    stream.send(Buffer.concat([header, Buffer.from('payload')]));
    const sealed = wire[0]!;
    expect(sealed.subarray(0, 2).toString('hex')).toBe('91e4');
    expect(sealed.subarray(12, 24)).toEqual(header.subarray(12));
  });
});

describe('bounds', () => {
  it('a thread that is behind is given no more, and what it is not given is counted', async () => {
    const fanOut = await open({ threads: 1 });
    const stream = fanOut.openStream();
    const { port } = await udpReceiver();
    const handle = stream.add({ ...newKey(SUITE), ...LINE, to: { address: '127.0.0.1', port } });
    const text = 'x'.repeat(1200);
    // In one go: the thread hears of none of them before.
    for (let sequence = 0; sequence < 3000; sequence++) stream.send(rtp(sequence, text));
    await expect.poll(() => handle.counters().packets + handle.counters().dropped).toBe(3000);
    expect(handle.counters().dropped).toBeGreaterThan(0);
    expect(handle.counters().packets).toBeGreaterThan(1000);
  });

  it('a thread that fails is told of, and takes nobody with it', async () => {
    const local = await openSocket({ address: '127.0.0.1', port: 0 });
    opened.push({ close: () => local.close() });
    const lost = Promise.withResolvers<Error>();
    const thread = await openThread(local.address(), 1 << 20, lost.resolve);
    const counters = new Float64Array(new SharedArrayBuffer(8 * COUNTERS_LENGTH));
    const to = { address: '127.0.0.1', port: 9 };
    const key = { suite: SUITE, master: { key: Buffer.alloc(1), salt: Buffer.alloc(1) } };
    thread.add(1, 2, { ...LINE, ...key, to, isPaused: false }, counters);
    expect(String(await lost.promise)).toContain('RangeError');
    await thread.ended();
    expect(thread.isRunning()).toBe(false);
    thread.send(1, rtp(1));
    expect(counters[COUNTERS.unqueued]).toBe(1);
  });

  it('a port that another has is an error: packets would go to either', async () => {
    const { port } = (await udpReceiver()).socket.address();
    await expect(createFanOut({ address: '127.0.0.1', port })).rejects.toThrow('EADDRINUSE');
    const first = (await open())
      .openStream()
      .add({ ...newKey(SUITE), ...LINE, to: { address: '127.0.0.1', port } });
    await expect(createFanOut({ address: '127.0.0.1', port: first.localPort ?? 0 })).rejects.toThrow(
      'EADDRINUSE',
    );
  });

  it.each([-1, 65, 1.5])('%s threads are refused', async (threads) => {
    await expect(createFanOut({ address: '127.0.0.1', threads })).rejects.toThrow(RangeError);
  });

  it('what a sink refuses is dropped, and its sequence number is missing', async () => {
    let isOpen = true;
    const key = newKey(SUITE);
    const sink = sinkOf(key);
    const { send, handle } = await oneSink({ ...key, to: (packet) => isOpen && sink.to(packet) });
    send(1);
    isOpen = false;
    send(2);
    isOpen = true;
    send(3);
    expect(sink.numbers()).toEqual([5000, 5002]);
    expect(handle.counters()).toMatchObject({ packets: 2, dropped: 1 });
  });

  it('nothing is sent to a receiver that was removed, even by the sink itself', async () => {
    const numbers: string[] = [];
    const fanOut = await open();
    const stream = fanOut.openStream();
    const first = stream.add({
      ...newKey(SUITE),
      ...LINE,
      to: () => {
        numbers.push('first');
        first.remove();
        return true;
      },
    });
    stream.add({ ...newKey(SUITE), ...LINE, to: () => numbers.push('second') > 0 });
    stream.send(rtp(1));
    stream.send(rtp(2));
    first.remove();
    expect(numbers).toEqual(['first', 'second', 'second']);
  });

  it('one stream is not the other, and a closed one is silent', async () => {
    const { fanOut, stream, send, got } = await oneSink();
    const other = fanOut.openStream();
    const key = newKey(SUITE);
    const otherSink = sinkOf(key);
    other.add({ ...key, ...LINE, to: otherSink.to });
    other.send(rtp(1));
    expect([got.length, otherSink.got.length]).toEqual([0, 1]);
    stream.close();
    stream.close();
    send(1);
    expect(got).toEqual([]);
    expect(() => stream.add({ ...newKey(SUITE), ...LINE, to: () => true })).toThrow('closed');
  });

  it('closing twice is closing once, and nothing is sent after', async () => {
    const { fanOut, send, got } = await oneSink();
    await fanOut.close();
    await fanOut.close();
    send(1);
    expect(got).toEqual([]);
  });

  it.each([
    ['an SSRC of 33 bits', { ssrc: 2 ** 32 }],
    ['a sequence number of 17 bits', { sequence: 0x1_0000 }],
    ['a payload type of 8 bits', { payloadType: 0x80 }],
    ['a negative timestamp offset', { timestampOffset: -1 }],
    ['no port', { to: { address: '127.0.0.1', port: 0 } }],
    ['a key of the wrong length', { master: { key: randomBytes(15), salt: randomBytes(14) } }],
  ] as [string, Partial<Outlet>][])('%s is refused', async (_name, wrong) => {
    const stream = (await open()).openStream();
    expect(() => stream.add({ ...newKey(SUITE), ...LINE, to: () => true, ...wrong })).toThrow(RangeError);
  });

  it.each([
    ['no RTP', Buffer.alloc(12)],
    ['RTP that is too long', Buffer.concat([rtp(1), Buffer.alloc(16_384)])],
  ])('%s is refused', async (_name, packet) => {
    const { stream } = await oneSink();
    expect(() => stream.send(packet)).toThrow(RangeError);
  });

  it('a peer by its IPv4 address is reached from an IPv6 socket', async () => {
    const stream = (await open({ address: '::' })).openStream();
    const { socket, port } = await udpReceiver();
    const key = newKey(SUITE);
    stream.add({ ...key, ...LINE, to: { address: '127.0.0.1', port } });
    const arrival = once(socket, 'message') as Promise<[Buffer]>;
    stream.send(rtp(1));
    expect(read(createSrtpReceiver(key), (await arrival)[0])).toMatchObject({ sequence: 5000 });
  });
});
