/** What one viewer is sent and counted for when he reads too slowly. */
import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it, test, vi } from 'vitest';
import { createSocketLink, type Link } from '../../../../plugin/adapters/rtsp/outlets.ts';
import { createRtspViewing, type RtspViewing } from '../../../../plugin/adapters/rtsp/viewing.ts';
import type { EndReason } from '../../../../plugin/contract.ts';
import { silentLog } from '../../../support/doubles.ts';
import { createFakeStream, type FakeStream } from './fake-stream.ts';

let stream: FakeStream;
let sent: Buffer[];
let taken: boolean;
let link: Link & { pending: number; waited: number };
let nowMs: number;
let viewing: RtspViewing;
let reasons: EndReason[];

beforeEach(() => {
  stream = createFakeStream();
  sent = [];
  taken = true;
  nowMs = 0;
  reasons = [];
  const state = { pending: 0, waited: 0, pendingBytes: () => state.pending, waitedMs: () => state.waited };
  link = state;
  viewing = createRtspViewing({
    tap: stream.tapped,
    clock: { nowMs: () => nowMs, monotonicMs: () => nowMs },
    log: silentLog,
    onClosed: (reason) => reasons.push(reason),
  });
  const master = { key: randomBytes(16), salt: randomBytes(14) };
  const rtp = (packet: Buffer): boolean => taken && sent.push(packet) > 0;
  const outlet = { headroomBytes: 0, rtp, rtcp: () => undefined };
  const codec = { name: 'H264', profileLevelId: '42e01f' } as const;
  for (const [kind, ssrc, of] of [
    ['video', 1, codec],
    ['audio', 2, undefined],
  ] as const) {
    const key = { suite: 'AES_CM_128_HMAC_SHA1_80', master, ssrc } as const;
    viewing.setUp({ kind, codec: of, payloadType: 96, key }, outlet, link);
  }
  viewing.play();
});

const count = (run: () => void): number => {
  const before = sent.length;
  run();
  return sent.length - before;
};

describe('who reads too slowly', () => {
  it('waits for a second of media at most, and then for the next keyframe after he has read it', async () => {
    stream.picture(true);
    stream.mediaMs = 1000;
    link.waited = 1000;
    expect(count(() => stream.picture(false))).toBe(1);
    link.waited = 1001;
    link.pending = 5000;
    stream.mediaMs = 2000;
    expect(count(() => stream.picture(true))).toBe(0);
    expect(count(() => stream.sound())).toBe(0);
    stream.mediaMs = 3000;
    link.pending = link.waited = 0;
    stream.keyframeRequests = 0;
    expect(count(() => stream.picture(false))).toBe(0);
    expect(stream.keyframeRequests).toBe(1);
    expect(count(() => stream.sound())).toBe(1);
    expect(count(() => stream.picture(true))).toBe(3);
    stream.mediaMs = 3500;
    stream.picture(false);
    // From the last that he was sent to the next: two seconds.
    expect((await viewing.counters()).mediaMs).toBe(1500);
  });

  it('has no more than 4 MiB waiting', () => {
    stream.picture(true);
    link.pending = 4 * 1024 * 1024 + 1;
    expect(count(() => stream.picture(true))).toBe(0);
  });

  it('is not there any more when he has taken nothing for 10 s', async () => {
    const gone = vi.fn();
    viewing.onGone(gone);
    stream.picture(true);
    link.waited = 1001;
    link.pending = 1;
    stream.picture(true);
    nowMs = 10_000;
    stream.picture(true);
    await Promise.resolve();
    expect(gone).not.toHaveBeenCalled();
    nowMs = 10_001;
    stream.picture(true);
    await Promise.resolve();
    expect(gone).toHaveBeenCalledExactlyOnceWith('viewer_stalled');
  });

  it('is there as long as he takes something, however little', async () => {
    const gone = vi.fn();
    viewing.onGone(gone);
    stream.picture(true);
    link.waited = 1001;
    for (link.pending = 1000; link.pending > 0; link.pending -= 100) {
      stream.picture(true);
      nowMs += 9000;
    }
    await Promise.resolve();
    expect(gone).not.toHaveBeenCalled();
    link.pending = 100;
    stream.picture(true);
    nowMs += 1001;
    stream.picture(true);
    await Promise.resolve();
    expect(gone).toHaveBeenCalledExactlyOnceWith('viewer_stalled');
  });

  it('is not charged for what has not left', async () => {
    stream.picture(true, 1000);
    const bytes = stream.latest.reduce((sum, packet) => sum + packet.length, 0);
    expect((await viewing.counters()).bytes).toBe(bytes);
    stream.picture(false, 1000);
    link.pending = 300;
    const more = stream.latest.reduce((sum, packet) => sum + packet.length, 0);
    expect((await viewing.counters()).bytes).toBe(bytes + more - 300);
    // What was said is never taken back.
    link.pending = 5000;
    expect((await viewing.counters()).bytes).toBe(bytes + more - 300);
  });
});

test('nothing leaves after the end, and the counters keep their last values', async () => {
  stream.picture(true);
  stream.mediaMs = 700;
  stream.picture(false);
  viewing.close('expired');
  expect(stream.listeners()).toBe(0);
  stream.mediaMs = 900;
  expect(count(() => stream.picture(true))).toBe(0);
  viewing.play();
  expect(count(() => stream.picture(true))).toBe(0);
  expect((await viewing.counters()).mediaMs).toBe(700);
  viewing.close('kicked');
  expect(reasons).toEqual(['expired']);
});

test('the source has ended when all of its lines have', async () => {
  const gone = vi.fn();
  viewing.onGone(gone);
  stream.end();
  await Promise.resolve();
  expect(gone).toHaveBeenCalledExactlyOnceWith('source_ended');
});

test('a late packet is left out: its key stream has been passed over', () => {
  stream.picture(true);
  const late = stream.latest.map((packet) => Buffer.from(packet));
  expect(count(() => stream.replay(late))).toBe(0);
  expect(count(() => stream.picture(false))).toBe(1);
});

describe("numbers that have nothing to do with the stream's before", () => {
  /** Packets of the latest picture or sound, as a source would send them that had gone on from another number. */
  const moved = (by: number): Buffer[] =>
    stream.latest.map((packet) => {
      const copy = Buffer.from(packet);
      copy.writeUInt16BE((packet.readUInt16BE(2) + by) & 0xffff, 2);
      return copy;
    });
  const numbers = (): number[] => sent.map((packet) => packet.readUInt16BE(2));

  it('after 100 late packets in a row the next keyframe is asked for, and goes on', async () => {
    stream.picture(true);
    stream.mediaMs = 400;
    stream.picture(false);
    stream.keyframeRequests = 0;
    stream.mediaMs = 1000;
    for (let late = 0; late < 100; late++) expect(count(() => stream.replay(moved(late - 30_000)))).toBe(0);
    expect(stream.keyframeRequests).toBe(0);
    expect(count(() => stream.replay(moved(100 - 30_000)))).toBe(0);
    expect(stream.keyframeRequests).toBe(1);
    stream.mediaMs = 9000;
    // Nor are the late ones, which he was not sent.
    expect((await viewing.counters()).mediaMs).toBe(400);
    expect(count(() => stream.picture(true))).toBe(3);
  });

  it.each([0x4000, 0x7fff])('so it is after a step of %i ahead, and nobody is ended', async (step) => {
    const gone = vi.fn();
    viewing.onGone(gone);
    stream.picture(true);
    stream.picture(false);
    stream.keyframeRequests = 0;
    expect(count(() => stream.replay(moved(1 + step)))).toBe(0);
    expect(stream.keyframeRequests).toBe(1);
    expect(count(() => stream.picture(true))).toBe(3);
    const [first = 0] = numbers();
    expect(numbers()).toEqual([0, 1, 2, 3, 4, 5, 6].map((at) => first + at));
    await Promise.resolve();
    expect(gone).not.toHaveBeenCalled();
  });

  it('a smaller step is a loss', () => {
    stream.picture(true);
    stream.picture(false);
    expect(count(() => stream.replay(moved(0x4000)))).toBe(1);
  });

  it('sound goes on at once, and asks for no picture', () => {
    stream.sound();
    stream.keyframeRequests = 0;
    expect(count(() => stream.replay(moved(0x5000), 'audio'))).toBe(1);
    const [first = 0] = numbers();
    expect([numbers(), stream.keyframeRequests]).toEqual([[first, first + 1], 0]);
  });
});

test('what is lost before it leaves is not counted, and begins nothing', async () => {
  const began = vi.fn();
  viewing.onFirstMedia(began);
  taken = false;
  stream.picture(true);
  stream.mediaMs = 1000;
  expect(await viewing.counters()).toEqual({ mediaMs: 0, bytes: 0 });
  expect(began).not.toHaveBeenCalled();
  taken = true;
  stream.picture(false);
  stream.mediaMs = 1400;
  stream.picture(false);
  const [packet] = stream.latest as [Buffer];
  expect(await viewing.counters()).toEqual({ mediaMs: 400, bytes: 2 * packet.length });
  expect(began).toHaveBeenCalledOnce();
});

test('what was written waits as long as the socket has not taken it', () => {
  let writableLength = 0;
  const socket = {
    write(data: Uint8Array | string) {
      writableLength += data.length;
      return true;
    },
    get writableLength() {
      return writableLength;
    },
  };
  const written = createSocketLink(socket, {
    monotonicMs: () => nowMs,
  });
  expect(written.waitedMs()).toBe(0);
  written.write(Buffer.alloc(100));
  nowMs = 200;
  written.write(Buffer.alloc(100));
  nowMs = 300;
  expect([written.waitedMs(), written.pendingBytes()]).toEqual([300, 200]);
  writableLength = 100;
  expect(written.waitedMs()).toBe(100);
  writableLength = 0;
  expect(written.waitedMs()).toBe(0);
});
