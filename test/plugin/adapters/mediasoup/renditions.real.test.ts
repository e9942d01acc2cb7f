/** Several renditions of one stream's video on a stage with a real worker. */
import { createWorker, type types } from 'mediasoup';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { createStage, type Stage } from '../../../../plugin/adapters/mediasoup.ts';
import { parseOffer } from '../../../../plugin/media/offer.ts';
import type { StageStream, VideoCodec } from '../../../../plugin/ports.ts';
import { fakeTimerClock, silentLog } from '../../../support/doubles.ts';
import { OFFERS } from '../../media/offers/index.ts';

const HIGH = { name: 'H264', profileLevelId: '640028' } as const;
const CONSTRAINED_BASELINE = { name: 'H264', profileLevelId: '42e01f' } as const;
const VP8 = { name: 'VP8' } as const;

let worker: types.Worker;
beforeAll(async () => {
  worker = await createWorker({ logLevel: 'error' });
});
afterAll(() => worker.close());

let stage: Stage;
let stream: StageStream;
let watched: string[];

beforeEach(async () => {
  stage = await createStage({
    workers: [worker],
    listen: { ip: '127.0.0.1', port: 0 },
    clock: fakeTimerClock,
    log: silentLog,
  });
  onTestFinished(() => stage.close());
  stream = stage.openStream('/live/a', () => 0);
  watched = [];
  await stream.addAudio({ ssrc: 1, payloadType: 97 });
});

const add = (ssrc: number, codec: VideoCodec, onDemand: boolean) =>
  stream.addVideo({
    ssrc,
    payloadType: 96,
    codec,
    onDemand,
    onWatched: (is) => watched.push(`${codec.name} ${String(ssrc)} ${is ? 'watched' : 'left'}`),
  });

const view = async (sdp: string) => {
  const viewing = await stage.view('/live/a', parseOffer(sdp));
  const [rtpmap] = /a=rtpmap:\d+ (?:H264|VP8|VP9|AV1)\/90000/.exec(viewing.answer) ?? [];
  return { viewing, rtpmap };
};

describe('a stream with several renditions', () => {
  it('gives each viewer what his offer can take, and tells the source who is watched', async () => {
    await add(10, CONSTRAINED_BASELINE, true);
    await add(11, VP8, true);
    await add(12, HIGH, false);
    const high = await view(OFFERS.chromium);
    expect(high.rtpmap).toBe('a=rtpmap:41 H264/90000');
    const baseline = await view(OFFERS.firefoxLike);
    const another = await view(OFFERS.firefoxLike);
    expect(baseline.rtpmap).toBe('a=rtpmap:126 H264/90000');
    const vp8 = await view(OFFERS.chromium.replaceAll(' H264/90000', ' H263/90000'));
    expect(vp8.rtpmap).toBe('a=rtpmap:96 VP8/90000');
    expect(watched).toEqual(['H264 12 watched', 'H264 10 watched', 'VP8 11 watched']);
    baseline.viewing.close('viewer_left');
    vp8.viewing.close('viewer_left');
    another.viewing.close('viewer_left');
    expect(watched.slice(3)).toEqual(['VP8 11 left', 'H264 10 left']);
  });

  it.each<[string, VideoCodec, string]>([
    ['VP9', { name: 'VP9', profileId: 0 }, 'a=rtpmap:98 VP9/90000'],
    ['AV1', { name: 'AV1', profile: 0 }, 'a=rtpmap:45 AV1/90000'],
  ])('carries %s', async (_name, codec, rtpmap) => {
    await add(10, codec, false);
    expect((await view(OFFERS.chromium)).rtpmap).toBe(rtpmap);
  });

  it('can have no H.265, which mediasoup does not know', async () => {
    const codec = { kind: 'video', mimeType: 'video/H265', clockRate: 90_000 } as const;
    await expect(worker.createRouter({ mediaCodecs: [codec] })).rejects.toThrow('media codec not supported');
  });

  it('refuses video for the reason of its source, even when there is none', async () => {
    stream.refuseVideo('the video is VP9, and re-encoding is off');
    await expect(view(OFFERS.chromium)).rejects.toMatchObject({
      code: 'offer_unsupported',
      detail: 'the video is VP9, and re-encoding is off',
    });
    stream.refuseVideo(null);
    expect((await view(OFFERS.chromium)).rtpmap).toBeUndefined();
  });

  it('does not take a profile that nobody knows', async () => {
    await expect(add(10, { name: 'H264', profileLevelId: 'ffffff' }, false)).rejects.toThrow(TypeError);
  });
});
