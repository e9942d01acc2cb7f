import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { httpOutlet, rtmpOutlet } from '../../../../plugin/adapters/node-media-server/outlets.ts';

/** Of a socket, the outlet uses what every stream has. */
const asSocket = (stream: object): Socket => stream as Socket;

/** A socket that notes what leaves it in one call. */
function recordedSocket(highWaterMark = 64 * 1024) {
  const calls: string[][] = [];
  const stream = new Duplex({
    highWaterMark,
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      calls.push([chunk.toString()]);
      done();
    },
    writev(chunks, done) {
      calls.push(chunks.map(({ chunk }) => String(chunk)));
      done();
    },
  });
  return { socket: asSocket(stream), calls };
}

const nextTurn = (): Promise<void> => new Promise((done) => setImmediate(done));
const none = (): void => undefined;

describe('an outlet', () => {
  it('lets messages that came together leave in one call, to each of its viewers', async () => {
    const sockets = [recordedSocket(), recordedSocket(), recordedSocket()];
    const outlets = sockets.map(({ socket }) => httpOutlet(socket, none));
    for (const message of ['picture', 'sound', 'sound']) {
      for (const outlet of outlets) outlet.write(Buffer.from(message));
    }
    expect(sockets.map(({ calls }) => calls)).toEqual([[], [], []]);
    await nextTurn();
    for (const { calls } of sockets) expect(calls).toEqual([['picture', 'sound', 'sound']]);
  });

  it('holds nothing longer than the turn in which it came', async () => {
    const { socket, calls } = recordedSocket();
    const outlet = httpOutlet(socket, none);
    outlet.write(Buffer.from('a'));
    await nextTurn();
    outlet.write(Buffer.from('b'));
    await nextTurn();
    expect(calls).toEqual([['a'], ['b']]);
    expect(outlet.pendingBytes()).toBe(0);
  });

  it('counts what it holds back as not yet gone, and asks for a pause where that is too much', async () => {
    const { socket } = recordedSocket(4);
    const outlet = httpOutlet(socket, none);
    expect(outlet.write(Buffer.from('abc'))).toBe(true);
    expect(outlet.write(Buffer.from('de'))).toBe(false);
    expect(outlet.pendingBytes()).toBe(5);
    const drained = new Promise((done) => socket.once('drain', done));
    await drained;
    expect(outlet.pendingBytes()).toBe(0);
  });

  it('says goodbye behind the media of the same turn, not before it', async () => {
    const { socket, calls } = recordedSocket();
    const outlet = rtmpOutlet(socket, none, (_level, code) => void socket.write(code));
    outlet.write(Buffer.from('media'));
    outlet.close('source_ended');
    await nextTurn();
    expect(calls.flat()).toEqual(['media', 'NetStream.Play.UnpublishNotify']);
    expect(socket.writableFinished).toBe(true);
  });

  it('is not disturbed by a viewer whose connection went in the same turn', async () => {
    const [gone, there] = [recordedSocket(), recordedSocket()];
    const outlets = [gone, there].map(({ socket }) => httpOutlet(socket, none));
    for (const outlet of outlets) outlet.write(Buffer.from('a'));
    gone.socket.destroy();
    await nextTurn();
    expect(there.calls).toEqual([['a']]);
    expect(gone.calls).toEqual([]);
  });
});
