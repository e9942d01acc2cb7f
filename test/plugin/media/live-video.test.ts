/** Which renditions a live stream has, and where their pictures come from. No ffmpeg: what it would make is missing here. */
import { describe, expect, test, vi } from 'vitest';
import type { Reencoding } from '../../../plugin/media/live-video.ts';
import { avcConfigTag, avcTag, makeTag } from '../rtp/flv-clip.ts';
import { depacketizeH264 } from '../rtp/rtp-reader.ts';
import { codecsOf, createLive as create, needed, REENCODED } from './live-setup.ts';

const HIGH = avcConfigTag(Buffer.from('6764001fda0a0f', 'hex'), Buffer.from('68ce3c80', 'hex'));
const HIGH_LARGER = avcConfigTag(Buffer.from('67640028da0a0f', 'hex'), Buffer.from('68ce3c80', 'hex'));
const MAIN = avcConfigTag(Buffer.from('674d401fda0a0f', 'hex'), Buffer.from('68ce3c80', 'hex'));
function picture(timeMs: number, { key = false, cts = 0 } = {}): Buffer {
  const slice = Buffer.alloc(40, 0x11);
  slice[0] = key ? 0x65 : 0x41;
  return avcTag([slice], { key, cts, timeMs });
}

describe('renditions', () => {
  test.each<[string, Reencoding, Buffer, string[]]>([
    ['H.264', 'auto', HIGH, ['H264 64001f', ...REENCODED]],
    ['H.264, without re-encoding', 'off', HIGH, ['H264 64001f']],
  ])('of %s', async (_, reencode, config, codecs) => {
    const setup = create(reencode);
    setup.push(config);
    await setup.settle();
    expect(codecsOf(setup.stream())).toEqual(codecs);
    expect(setup.stream().refusal).toBeNull();
    expect(setup.feed.reencoders()).toEqual([]);
  });

  test('are made anew only while somebody watches them', async () => {
    const setup = create();
    setup.push(HIGH, picture(0, { key: true }), picture(40));
    await setup.settle();
    const [, h264, vp8] = setup.stream().tracks.filter(({ kind }) => kind === 'video');
    vp8!.watch(true);
    setup.push(picture(80));
    expect(needed(setup)).toEqual(['VP8']);
    h264!.watch(true);
    expect(needed(setup)).toEqual(['H.264', 'VP8']);
  });

  /** As `picture`, in a tag of 4 MiB: what is behind the slice is NAL units without a byte. */
  function padded(timeMs: number): Buffer {
    const tag = picture(timeMs);
    return makeTag(9, Buffer.concat([tag.subarray(11, -4), Buffer.alloc(4 * 1024 * 1024)]), timeMs);
  }

  test.each([
    ['is kept for who comes', 0, 1],
    ['is let go when its tags hold more than is kept, however little is in them', 3, 0],
  ])('a group of pictures %s', async (_name, largeTags, starts) => {
    const setup = create();
    setup.push(HIGH, picture(0, { key: true }));
    for (let count = 1; count <= largeTags; count++) setup.push(padded(count * 40));
    await setup.settle();
    setup
      .stream()
      .tracks.find(({ onDemand }) => onDemand)!
      .watch(true);
    setup.push(picture(200));
    const restarts = (): number | undefined => setup.feed.reencoders()[0]?.restarts;
    // Each start fails here: there is no ffmpeg.
    if (starts > 0) await vi.waitUntil(() => restarts() === starts);
    await setup.settle();
    expect(restarts()).toBe(starts);
  });
});

describe('the published rendition', () => {
  test('without B-frames is what is published, and needs nothing', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    track.watch(true);
    setup.push(...Array.from({ length: 100 }, (_, index) => picture(index * 40, { key: index % 50 === 0 })));
    expect(depacketizeH264(track.rtp)).toHaveLength(100);
    expect(needed(setup)).toEqual([]);
  });

  test('is made anew from the first B-frame on, and no picture goes out of order', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    track.watch(true);
    setup.push(picture(0, { key: true }), picture(40), picture(80));
    expect(needed(setup)).toEqual([]);
    setup.push(picture(120, { cts: 80 }), picture(160), picture(200));
    expect(needed(setup)).toEqual(['H.264']);
    // The last one is the one that B-frames refer to: until they came it could not be known.
    const times = depacketizeH264(track.rtp).map(({ timestamp }) => timestamp);
    expect(times.map((time) => ((time - times[0]!) | 0) / 90)).toEqual([0, 40, 80, 200]);
  });

  test('is made anew from the first keyframe on when that makes room for B-frames', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    track.watch(true);
    setup.push(picture(0, { key: true, cts: 80 }));
    expect([track.rtp.length, needed(setup)]).toEqual([0, ['H.264']]);
  });

  test('is what is published again with the first keyframe after 2 s without any B-frame', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    track.watch(true);
    setup.push(
      ...Array.from({ length: 75 }, (_, index) => picture(index * 40, { key: index % 25 === 0, cts: 80 })),
    );
    expect(depacketizeH264(track.rtp)).toHaveLength(25);
  });

  test('is what is published again when the publisher returns without B-frames', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    track.watch(true);
    setup.push(picture(0, { key: true }), picture(40, { cts: 80 }), picture(80));
    const before = track.rtp.length;
    setup.feed.restart();
    setup.push(HIGH, picture(0), picture(40, { key: true }), picture(80));
    expect(depacketizeH264(track.rtp.slice(before))).toHaveLength(2);
    expect(track.rtp.at(-1)!.sequence).toBe((track.rtp[0]!.sequence + track.rtp.length - 1) & 0xffff);
  });

  test('goes on with another size in the same profile', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    setup.push(picture(0, { key: true }), HIGH_LARGER, picture(40, { key: true }), picture(80));
    const pictures = depacketizeH264(track.rtp);
    expect(pictures.map(({ nals }) => nals[0]!.toString('hex', 0, 4))).toEqual([
      '6764001f',
      '67640028',
      expect.stringMatching(/^41/),
    ]);
    expect(setup.stage.streams).toHaveLength(1);
  });

  test('is made anew for those who watch it when the profile changes, and replaced once nobody does', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    track.watch(true);
    setup.push(picture(0, { key: true }), MAIN, picture(40, { key: true }), picture(80));
    expect(codecsOf(setup.stream())).toContain('H264 64001f');
    expect(needed(setup)).toEqual(['H.264']);
    track.watch(false);
    setup.push(picture(120, { key: true }));
    await setup.settle();
    expect([track.closed, setup.stream().closed]).toEqual([true, false]);
    expect(codecsOf(setup.stream())).toEqual([...REENCODED, 'H264 4d401f']);
  });
});

describe('parameter sets', () => {
  const SPS = Buffer.from('6764001fda0a0f', 'hex');
  const slice = Buffer.from('6588', 'hex');
  const manySets = Array.from({ length: 256 }, () => Buffer.from('6801', 'hex'));

  test.each<[string, Buffer[], number]>([
    ['that a keyframe brings go in front of the next one', [Buffer.alloc(8000, 0x68)], 8000],
    ['of more than 8 KiB are not kept', [Buffer.alloc(8192, 0x68)], 4],
    ['in greater number than a decoder record has are not kept', manySets, 4],
  ])('%s', async (_name, pps, ppsBytes) => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    setup.push(avcTag([SPS, ...pps, slice], { key: true }), avcTag([slice], { key: true, timeMs: 40 }));
    const sizes = depacketizeH264(track.rtp).map(({ nals }) => nals.map(({ length }) => length));
    expect(sizes).toEqual([
      [SPS.length, ...pps.map(({ length }) => length), slice.length],
      [SPS.length, ppsBytes, slice.length],
    ]);
  });

  test('are in front of the first keyframe of a rendition that takes another’s place', async () => {
    const setup = create();
    setup.push(HIGH);
    const old = await setup.published();
    old.watch(true);
    setup.push(picture(0, { key: true }), MAIN, picture(40, { key: true }));
    old.watch(false);
    setup.push(picture(80, { key: true }));
    const track = await setup.published();
    await setup.stage.until(() => track.rtp.at(-1)?.marker);
    expect(depacketizeH264(track.rtp)[0]!.nals.map((nal) => nal.toString('hex', 0, 2))).toEqual([
      '674d',
      '68ce',
      expect.stringMatching(/^65/),
    ]);
  });
});

describe('a viewer who needs a keyframe', () => {
  /** 4 s of the group that it is in. */
  const group = [
    picture(0, { key: true }),
    ...Array.from({ length: 100 }, (_, index) => picture(40 + index * 40)),
  ];

  test('of what is published has the re-encoder start, while the publisher’s pictures go on', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    track.watch(true);
    setup.push(...group);
    track.askKeyframe?.(track.ssrc);
    setup.push(picture(4080));
    expect(needed(setup)).toEqual(['H.264']);
    // There is no ffmpeg here.
    setup.push(picture(4120), picture(8000, { key: true }));
    expect(depacketizeH264(track.rtp)).toHaveLength(104);
  });

  test('and has left again needs no re-encoder', async () => {
    const setup = create();
    setup.push(HIGH);
    const track = await setup.published();
    track.watch(true);
    setup.push(...group);
    track.askKeyframe?.(track.ssrc);
    track.watch(false);
    setup.push(picture(4080));
    expect(needed(setup)).toEqual([]);
  });

  test('is not heard of where there is none to be made, or one comes soon', async () => {
    const off = create('off');
    off.push(HIGH);
    expect((await off.published()).askKeyframe).toBeUndefined();
    const auto = create();
    auto.push(HIGH);
    await auto.published();
    const asked = auto.stream().tracks.filter(({ kind, askKeyframe }) => kind === 'video' && askKeyframe);
    expect(asked.map(({ onDemand }) => onDemand)).toEqual([false]);
  });
});

describe('without re-encoding', () => {
  test('video with B-frames is refused to who comes, and goes on for who watches', async () => {
    const setup = create('off');
    setup.push(HIGH);
    const track = await setup.published();
    setup.push(picture(0, { key: true, cts: 80 }), picture(40, { cts: 160 }));
    expect(setup.stream().refusal).toBeNull();
    setup.push(picture(80, { cts: 80 }), picture(120, { cts: 0 }));
    expect(setup.stream().refusal).toBe('the video has B-frames, and re-encoding is off');
    expect(depacketizeH264(track.rtp)).toHaveLength(4);
  });

  test('is no longer refused when the publisher returns without them', async () => {
    const setup = create('off');
    setup.push(HIGH, picture(0, { key: true }), picture(40, { cts: 80 }), picture(80));
    expect(setup.stream().refusal).not.toBeNull();
    setup.feed.restart();
    setup.push(HIGH, picture(0, { key: true }));
    expect(setup.stream().refusal).toBeNull();
  });
});
