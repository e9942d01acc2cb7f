import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { watchConnections } from '../../../../plugin/adapters/node-media-server/sockets.ts';
import { recordingLog } from '../../../support/doubles.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface FakeSocket extends EventEmitter {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  destroyed: boolean;
  wasReset: boolean;
  destroy(): void;
  resetAndDestroy(): void;
}

/** The two ends of a connection. */
function named(remotePort: number, localPort = 1935) {
  return { remoteAddress: '192.0.2.1', remotePort, localPort };
}

function fakeSocket(remotePort: number, localPort?: number): FakeSocket {
  const socket = Object.assign(new EventEmitter(), named(remotePort, localPort), {
    destroyed: false,
    wasReset: false,
    destroy() {
      if (socket.destroyed) return;
      socket.destroyed = true;
      socket.emit('close');
    },
    resetAndDestroy() {
      socket.wasReset = true;
      socket.destroy();
    },
  });
  return socket;
}

function setUp(maxWaiting = 2) {
  const log = recordingLog();
  const server = new EventEmitter();
  const connections = watchConnections({ maxWaiting, askWithinMs: 10_000 }, log);
  connections.watch(server);
  function connect(remotePort: number, localPort?: number): FakeSocket {
    const socket = fakeSocket(remotePort, localPort);
    server.emit('connection', socket);
    return socket;
  }
  return { log, server, connections, connect };
}

/** Another object for the same connection, as TLS has it. */
function upper(raw: FakeSocket): Pick<Socket, 'remoteAddress' | 'remotePort' | 'localPort' | 'destroy'> {
  return { ...named(raw.remotePort, raw.localPort), destroy: () => raw as unknown as Socket };
}

test('who asks for nothing is ended when his time is up, who has asked is not', () => {
  const { connections, connect } = setUp();
  const [silent, asking] = [connect(1), connect(2)];
  connections.settle(upper(asking));
  vi.advanceTimersByTime(9999);
  expect(silent.destroyed).toBe(false);
  vi.advanceTimersByTime(1);
  expect([silent.destroyed, asking.destroyed]).toEqual([true, false]);
});

test('of those who wait there are so many, and no more; one who asked or left gives his place back', () => {
  const { connections, connect, log } = setUp(2);
  const [first, second] = [connect(1), connect(2)];
  expect([connect(3).destroyed, connect(4).destroyed]).toEqual([true, true]);
  expect(log.lines).toHaveLength(1);
  connections.settle(upper(first));
  connections.settle(upper(first));
  expect(connect(5).destroyed).toBe(false);
  expect(connect(6).destroyed).toBe(true);
  second.destroy();
  expect(connect(7).destroyed).toBe(false);
  // Full again is news again.
  connect(8);
  expect(log.lines.length).toBeGreaterThan(1);
});

test('who asked and then left counts once', () => {
  const { connections, connect } = setUp(1);
  const first = connect(1);
  connections.settle(upper(first));
  first.destroy();
  expect(connect(2).destroyed).toBe(false);
  expect(connect(3).destroyed).toBe(true);
});

test('a reset reaches the TCP connection below, and only that one', () => {
  const { connections, connect } = setUp();
  const [one, other] = [connect(1), connect(2)];
  connections.reset(upper(one));
  expect([one.wasReset, other.destroyed]).toEqual([true, false]);
  connections.reset(upper(one));
  expect(other.destroyed).toBe(false);
});

test('two clients with the same address and port at two listeners are two', () => {
  const { connections, connect } = setUp();
  const [rtmp, http] = [connect(1, 1935), connect(1, 8000)];
  connections.settle(upper(rtmp));
  connections.reset(upper(rtmp));
  expect([rtmp.wasReset, http.destroyed]).toEqual([true, false]);
  vi.advanceTimersByTime(10_000);
  expect(http.destroyed).toBe(true);
});

test('the end of an old connection does not forget a new one with the same name', () => {
  const { connections, connect } = setUp();
  const old = connect(1);
  const next = connect(1);
  old.destroy();
  connections.reset(upper(next));
  expect(next.wasReset).toBe(true);
});

test('closing ends all connections and watches no new ones', () => {
  const { connections, connect } = setUp();
  const [waiting, settled] = [connect(1), connect(2)];
  connections.settle(upper(settled));
  connections.close();
  expect([waiting.destroyed, settled.destroyed]).toEqual([true, true]);
  const late = connect(3);
  vi.advanceTimersByTime(60_000);
  expect(late.destroyed).toBe(false);
});
