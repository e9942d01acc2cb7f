/** What is heard of a stream on the stage without mediasoup. */
import { describe, expect, it, test, vi } from 'vitest';
import { createStream } from '../../../../plugin/adapters/mediasoup/stream.ts';
import { tapStream } from '../../../../plugin/adapters/mediasoup/tap.ts';
import type { VideoCodec, VideoParameters } from '../../../../plugin/ports.ts';

const H264: VideoCodec = { name: 'H264', profileLevelId: '42e01f' };
const AV1: VideoCodec = { name: 'AV1', profile: 0 };
const isWanted = ({ name }: VideoCodec): boolean => name === 'H264' || name === 'VP8';

function setUp() {
  const stream = createStream({ mediaMs: () => 42, onClose: () => undefined });
  const add = (codec: VideoCodec, more: Partial<VideoParameters> = {}) =>
    stream.addVideo({ ssrc: 1, payloadType: 96, codec, ...more });
  return { stream, add };
}

function listener() {
  const heard: number[] = [];
  const ended = vi.fn();
  const note = (packet: Buffer): void => void heard.push(packet.length);
  return { heard, rtp: note, rtcp: note, ended };
}

function rtp(ssrc: number, bytes = 20): Buffer {
  const packet = Buffer.alloc(bytes);
  packet.writeUInt32BE(ssrc, 8);
  return packet;
}

describe('which video is heard', () => {
  test.each([
    [
      'what is published, before what is made on demand',
      [{ codec: H264, onDemand: true }, { codec: { name: 'VP8' } }],
      'VP8',
    ],
    [
      'what is made on demand, where the other is not wanted',
      [{ codec: AV1 }, { codec: H264, onDemand: true }],
      'H264',
    ],
  ] as const)('%s', async (_what, renditions, name) => {
    const { stream, add } = setUp();
    for (const { codec, ...more } of renditions) await add(codec, more);
    expect(tapStream(stream, isWanted).video?.codec.name).toBe(name);
  });

  it('none of a stream of sound', async () => {
    const { stream } = setUp();
    await stream.addAudio({ ssrc: 2, payloadType: 97 });
    const tap = tapStream(stream, isWanted);
    expect([tap.video, tap.audio === undefined, tap.mediaMs()]).toEqual([undefined, false, 42]);
  });

  it('a stream with no other video than what is not wanted is refused, and so is one whose video is', async () => {
    const { stream, add } = setUp();
    const code = (of: string): unknown => expect.objectContaining({ code: of });
    expect(() => tapStream(stream, isWanted)).toThrow(code('stream_offline'));
    await add(AV1);
    expect(() => tapStream(stream, isWanted)).toThrow(code('offer_unsupported'));
    await add(H264);
    stream.refuseVideo('the video has B-frames');
    expect(() => tapStream(stream, isWanted)).toThrow(code('offer_unsupported'));
  });
});

test('a listener hears packets and reports until it stops; a keyframe is asked for, and the viewer is counted', async () => {
  const { stream, add } = setUp();
  const [onWatched, onKeyframeRequest] = [vi.fn(), vi.fn()];
  const input = await add(H264, { onWatched, onKeyframeRequest });
  const { video } = tapStream(stream, isWanted);
  const [first, second] = [listener(), listener()];
  const stop = video?.listen(first);
  video?.listen(second);
  expect([onWatched.mock.calls, onKeyframeRequest.mock.calls]).toEqual([[[true]], [[1], [1]]]);
  input.sendRtp(rtp(1, 20));
  input.sendRtcp(rtp(1, 40));
  stop?.();
  stop?.();
  input.sendRtp(rtp(1, 30));
  expect([first.heard, second.heard]).toEqual([
    [20, 40],
    [20, 40, 30],
  ]);
  expect(onWatched).toHaveBeenCalledTimes(1);
});

test('AAC is heard in the place of Opus, its listeners are counted, and its end is theirs', async () => {
  const { stream } = setUp();
  const onWatched = vi.fn();
  const opus = await stream.addAudio({ ssrc: 2, payloadType: 97 });
  const codec = {
    name: 'AAC',
    sampleRateHz: 44_100,
    channels: 2,
    config: Buffer.from('1210', 'hex'),
  } as const;
  const aac = await stream.addAac({ ssrc: 3, payloadType: 97, codec, onWatched });
  const { audio } = tapStream(stream, isWanted);
  expect(audio?.codec).toBe(codec);
  const [first, second] = [listener(), listener()];
  const stop = audio?.listen(first);
  const stopSecond = audio?.listen(second);
  opus.sendRtp(rtp(2, 30));
  aac.sendRtp(rtp(3, 20));
  stop?.();
  stop?.();
  expect(onWatched.mock.calls).toEqual([[true]]);
  stopSecond?.();
  expect(onWatched.mock.calls).toEqual([[true], [false]]);
  expect([first.heard, second.heard]).toEqual([[20], [20]]);
  const last = listener();
  audio?.listen(last);
  aac.close();
  expect(last.ended).toHaveBeenCalledTimes(1);
  expect(tapStream(stream, isWanted).audio?.codec).toBeUndefined();
});

test('AAC that takes the place of another is not ended with it; the end of the stream is its end', async () => {
  const { stream } = setUp();
  await stream.addAudio({ ssrc: 2, payloadType: 97 });
  const [old, codec] = ['1210', '1190'].map(
    (hex) => ({ name: 'AAC', sampleRateHz: 44_100, channels: 2, config: Buffer.from(hex, 'hex') }) as const,
  );
  if (old === undefined || codec === undefined) return;
  const parameters = { ssrc: 3, payloadType: 97, onWatched: () => undefined };
  const before = await stream.addAac({ ...parameters, codec: old });
  await stream.addAac({ ...parameters, codec });
  before.close();
  const { audio } = tapStream(stream, isWanted);
  expect(audio?.codec).toBe(codec);
  const own = listener();
  audio?.listen(own);
  stream.close();
  expect(own.ended).toHaveBeenCalledTimes(1);
});

test('of simulcast layers the best is heard', async () => {
  const { stream, add } = setUp();
  const input = await add({ name: 'VP8' }, { ssrc: 1, higherLayers: [2, 3] });
  const own = listener();
  tapStream(stream, isWanted).video?.listen(own);
  for (const ssrc of [1, 2, 3]) input.sendRtp(rtp(ssrc, 20 + ssrc));
  const report = Buffer.alloc(50);
  report.writeUInt32BE(3, 4);
  input.sendRtcp(report);
  report.writeUInt32BE(1, 4);
  input.sendRtcp(report);
  expect(own.heard).toEqual([23, 50]);
});

test.each([
  ['one encoding', {}, 1],
  ['simulcast', { higherLayers: [2, 3] }, 3],
  ['spatial layers in one encoding', { scalabilityMode: 'L2T3_KEY' }, 2],
  ['temporal layers only', { scalabilityMode: 'L1T3' }, 1],
])('the layers of %s are counted', async (_what, more, layers) => {
  const { stream, add } = setUp();
  await add({ name: 'VP8' }, more);
  expect(tapStream(stream, isWanted).video?.layers).toBe(layers);
});

test('the end of an input, and of the stream, is told once; who comes later hears it at once', async () => {
  const { stream, add } = setUp();
  const input = await add(H264);
  await stream.addAudio({ ssrc: 2, payloadType: 97 });
  const { video, audio } = tapStream(stream, isWanted);
  const [picture, sound, late] = [listener(), listener(), listener()];
  video?.listen(picture);
  audio?.listen(sound);
  input.close();
  expect([picture.ended.mock.calls.length, sound.ended.mock.calls.length]).toEqual([1, 0]);
  stream.close();
  expect([picture.ended.mock.calls.length, sound.ended.mock.calls.length]).toEqual([1, 1]);
  audio?.listen(late);
  expect(late.ended).toHaveBeenCalledTimes(1);
});
