/** VP9, AV1 and VP8 of Enhanced RTMP: what goes to viewers as it is, and what happens when it changes. */
import { describe, expect, test } from 'vitest';
import type { Reencoding } from '../../../plugin/media/live-video.ts';
import { CODED_FRAMES, SEQUENCE_START, videoTag } from '../rtp/enhanced-tags.ts';
import { avcConfigTag, avcTag } from '../rtp/flv-clip.ts';
import { codecsOf, createLive, needed, REENCODED } from './live-setup.ts';

const config = (fourCc: string, hex: string): Buffer =>
  videoTag({ fourCc, packetType: SEQUENCE_START, key: true, data: Buffer.from(hex, 'hex') });
const coded = (fourCc: string, key: boolean, hex: string): Buffer =>
  videoTag({ fourCc, packetType: CODED_FRAMES, key, data: Buffer.from(hex, 'hex') });

/** Their records say profile 0; av1C has no sequence header. */
const VP9 = config('vp09', '0100000000000a28');
const AV1 = config('av01', '81000c00');
const H265 = config('hvc1', `01${'00'.repeat(22)}`);
const H264 = avcConfigTag(Buffer.from('6764001fda0a0f', 'hex'), Buffer.from('68ce3c80', 'hex'));
const H264_KEYFRAME = avcTag([Buffer.from('6588', 'hex')], { key: true });

const VP9_KEYFRAME = coded('vp09', true, '82498342');
const VP9_INTER = coded('vp09', false, '86004062');
const VP9_KEYFRAME_PROFILE_2 = coded('vp09', true, '92498342');
/** Temporal delimiter, sequence header, frame. */
const AV1_KEYFRAME = coded('av01', true, '1200' + '0a0300010a' + '320210aa');
const AV1_INTER = coded('av01', false, '1200' + '320230bb');
const AV1_TORN = coded('av01', false, '320930bb');
const VP8_KEYFRAME = coded('vp08', true, '10009d01');
const VP8_INTER = coded('vp08', false, '11009d01');

describe('renditions', () => {
  test.each<[string, Reencoding, Buffer, string[], string | null]>([
    ['VP9', 'auto', VP9, ['VP9 0', ...REENCODED], null],
    ['VP9, without re-encoding', 'off', VP9, ['VP9 0'], null],
    ['AV1', 'auto', AV1, ['AV1 0', ...REENCODED], null],
    ['AV1, without re-encoding', 'off', AV1, ['AV1 0'], null],
    ['VP8 by its first keyframe', 'auto', VP8_KEYFRAME, ['VP8', ...REENCODED], null],
    ['VP9 by its first keyframe', 'auto', VP9_KEYFRAME, ['VP9 0', ...REENCODED], null],
    ['H.265, which mediasoup has not', 'auto', H265, REENCODED, null],
    ['H.265, without re-encoding', 'off', H265, [], 'the video is H.265, and re-encoding is off'],
  ])('of %s', async (_name, reencode, tag, codecs, refusal) => {
    const setup = createLive(reencode);
    setup.push(tag);
    await setup.settle();
    expect(codecsOf(setup.stage.streams[0]!).sort()).toEqual([...codecs].sort());
    expect(setup.stage.streams[0]!.refusal).toBe(refusal);
    expect(needed(setup)).toEqual([]);
  });
});

describe('what is passed through', () => {
  test.each([
    ['VP9', VP9, VP9_KEYFRAME, VP9_INTER, ['8c', 'cc']],
    // A new sequence with its header, and no delimiter.
    ['AV1', AV1, AV1_KEYFRAME, AV1_INTER, ['080408', '000330']],
    ['VP8', VP8_KEYFRAME, VP8_KEYFRAME, VP8_INTER, ['90', '90']],
  ])('%s is sent as it came, and nothing is re-encoded', async (_name, first, key, inter, heads) => {
    const setup = createLive();
    setup.push(first);
    const track = await setup.published();
    track.watch(true);
    const before = track.rtp.length;
    setup.push(key, inter);
    const payloads = track.rtp.slice(before).map(({ payload }) => payload.toString('hex'));
    expect(payloads.map((payload, index) => payload.slice(0, heads[index]!.length))).toEqual(heads);
    expect(track.rtp.every(({ marker }) => marker)).toBe(true);
    expect(needed(setup)).toEqual([]);
  });

  test('starts with a keyframe, whatever its tag says of a VP9 frame', async () => {
    const setup = createLive();
    setup.push(VP9);
    const track = await setup.published();
    setup.push(coded('vp09', true, '86004062'), VP9_INTER);
    expect(track.rtp).toEqual([]);
    setup.push(VP9_KEYFRAME);
    expect(track.rtp).toHaveLength(1);
  });

  test.each([
    ['a torn AV1 temporal unit', AV1, AV1_KEYFRAME, AV1_TORN, AV1_INTER],
    ['a VP9 frame without its marker', VP9, VP9_KEYFRAME, coded('vp09', false, '00'), VP9_INTER],
  ])('%s is left out, and the next one sent', async (_name, first, key, torn, inter) => {
    const setup = createLive();
    setup.push(first);
    const track = await setup.published();
    setup.push(key, torn, inter);
    expect(track.rtp).toHaveLength(2);
  });

  test.each(['81000c', '81600c00', '81000c000a09'])(
    'an av1C record that is none (%s) opens nothing',
    async (hex) => {
      const setup = createLive();
      setup.push(config('av01', hex), AV1_KEYFRAME);
      await setup.settle();
      expect(setup.stage.streams).toEqual([]);
    },
  );

  test('is made anew for who can take nothing of it', async () => {
    const setup = createLive();
    setup.push(AV1, AV1_KEYFRAME);
    await setup.settle();
    setup
      .stream()
      .tracks.find(({ onDemand }) => onDemand)!
      .watch(true);
    setup.push(AV1_INTER);
    expect(needed(setup)).toEqual(['H.264']);
  });
});

describe('a publisher who changes what he sends', () => {
  test('of VP9 to another profile, unwatched: another rendition takes its place', async () => {
    const setup = createLive();
    setup.push(VP9, VP9_KEYFRAME);
    await setup.settle();
    setup.push(VP9_KEYFRAME_PROFILE_2);
    await setup.settle();
    expect(codecsOf(setup.stream())).toEqual([...REENCODED, 'VP9 2']);
    expect(setup.stream().closed).toBe(false);
  });

  test.each([
    ['VP9 to another profile', VP9, [VP9_KEYFRAME_PROFILE_2], ['VP9 2', ...REENCODED]],
    ['AV1 to H.264', AV1, [H264], ['H264 64001f', ...REENCODED]],
    ['AV1 to H.265', AV1, [H265], REENCODED],
  ])('%s, watched: the stream starts anew', async (_name, first, next, codecs) => {
    const setup = createLive();
    setup.push(first);
    (await setup.published()).watch(true);
    setup.push(...next);
    await setup.settle();
    expect(setup.stage.streams.map(({ closed }) => closed)).toEqual([true, false]);
    expect(codecsOf(setup.stage.streams[1]!)).toEqual(codecs);
  });

  test.each([
    ['H.264', H264, 'H.264', 'H264 64001f'],
    ['VP8', VP8_KEYFRAME, 'VP8', 'VP8'],
  ])('%s to AV1, watched: it is made anew until nobody watches', async (_name, first, made, before) => {
    const setup = createLive();
    setup.push(first);
    const track = await setup.published();
    track.watch(true);
    setup.push(AV1, AV1_KEYFRAME);
    const sent = track.rtp.length;
    setup.push(AV1_INTER);
    expect([needed(setup), track.rtp.length]).toEqual([[made], sent]);
    await setup.settle();
    expect(codecsOf(setup.stream())).toContain(before);
    track.watch(false);
    setup.push(AV1_KEYFRAME);
    await setup.settle();
    expect([track.closed, setup.stream().closed]).toEqual([true, false]);
    expect(codecsOf(setup.stream())).toEqual([...REENCODED, 'AV1 0']);
  });

  test('on end, without re-encoding: five new streams at once, then one a second, and nothing of another form', async () => {
    const setup = createLive('off');
    const change = (): void => {
      for (const tag of [AV1, AV1_KEYFRAME, VP9, VP9_KEYFRAME]) setup.feed.pushTag(tag);
    };
    for (let times = 0; times < 10; times++) change();
    expect(setup.stage.streams).toHaveLength(6);
    const last = await setup.published();
    expect(last.codec).toMatchObject({ name: 'VP9' });
    await setup.stage.until(() => (last.rtp.length > 0 ? last : undefined));
    const sent = last.rtp.length;
    change();
    expect(last.rtp).toHaveLength(sent + 1);
    setup.clock.advance(1000);
    for (let times = 0; times < 10; times++) setup.feed.pushTag(AV1_KEYFRAME);
    expect(setup.stage.streams).toHaveLength(6);
    setup.feed.pushTag(AV1);
    expect(setup.stage.streams).toHaveLength(7);
    change();
    expect(setup.stage.streams).toHaveLength(7);
  });

  test('too often, is followed with a keyframe as soon as he may', async () => {
    const setup = createLive('off');
    for (let times = 0; times < 3; times++)
      for (const tag of [AV1, VP9, AV1_KEYFRAME]) setup.feed.pushTag(tag);
    setup.feed.pushTag(AV1);
    expect(setup.stage.streams).toHaveLength(6);
    expect((await setup.published()).codec).toMatchObject({ name: 'VP9' });
    setup.clock.advance(1000);
    setup.feed.pushTag(AV1_INTER);
    expect(setup.stage.streams).toHaveLength(6);
    setup.feed.pushTag(AV1_KEYFRAME);
    expect(setup.stage.streams).toHaveLength(7);
    const track = await setup.published();
    await setup.stage.until(() => (track.rtp.length > 0 ? track : undefined));
    expect(track.codec).toMatchObject({ name: 'AV1' });
  });

  test('without re-encoding, to H.265 and back: viewers are refused, and no longer', async () => {
    const setup = createLive('off');
    setup.push(AV1, AV1_KEYFRAME, H265);
    await setup.settle();
    const [first, second] = setup.stage.streams;
    expect([first!.closed, second!.refusal]).toEqual([true, 'the video is H.265, and re-encoding is off']);
    setup.push(AV1, AV1_KEYFRAME);
    await setup.settle();
    expect([second!.refusal, codecsOf(second!)]).toEqual([null, ['AV1 0']]);
  });

  test('without re-encoding, from H.264 to VP9: another stream', async () => {
    const setup = createLive('off');
    setup.push(H264, H264_KEYFRAME, VP9, VP9_KEYFRAME);
    await setup.settle();
    expect(setup.stage.streams.map((stream) => codecsOf(stream))).toEqual([[], ['VP9 0']]);
    expect(setup.stage.streams[0]!.closed).toBe(true);
  });
});
