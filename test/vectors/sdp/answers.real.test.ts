/** Recorded offers, answered by a stage on a real worker: its checks of what an offer has are stricter than ours. */
import { createWorker, type types } from 'mediasoup';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStage, type Stage } from '../../../plugin/adapters/mediasoup.ts';
import { parseOffer } from '../../../plugin/media/offer.ts';
import { fakeTimerClock, silentLog } from '../../support/doubles.ts';
import { RECORDED_OFFERS, type Recorded } from './offers.ts';

let worker: types.Worker;
let stage: Stage;
beforeAll(async () => {
  worker = await createWorker({ logLevel: 'error' });
  stage = await createStage({
    workers: [worker],
    listen: { ip: '127.0.0.1', port: 0 },
    clock: fakeTimerClock,
    log: silentLog,
  });
  const stream = stage.openStream('/live/a', () => 0);
  await stream.addVideo({ ssrc: 1, payloadType: 96, codec: { name: 'H264', profileLevelId: '42c01f' } });
  await stream.addVideo({ ssrc: 2, payloadType: 98, codec: { name: 'VP8' }, onDemand: true });
  await stream.addAudio({ ssrc: 3, payloadType: 97 });
});
afterAll(() => {
  stage.close();
  worker.close();
});

const OPUS = 'minptime=10;useinbandfec=1';
const BASELINE = 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f';

it.each<[Recorded, string[]]>([
  [
    'Chromium 156',
    [
      'a=group:BUNDLE 0 1',
      'm=video 9 UDP/TLS/RTP/SAVPF 108',
      'a=mid:0',
      'a=rtpmap:108 H264/90000',
      `a=fmtp:108 ${BASELINE}`,
      'a=rtcp-fb:108 nack',
      'a=rtcp-fb:108 nack pli',
      'm=audio 9 UDP/TLS/RTP/SAVPF 111',
      'a=mid:1',
      'a=rtpmap:111 opus/48000/2',
      `a=fmtp:111 ${OPUS}`,
    ],
  ],
  [
    'Firefox 153 without OpenH264',
    [
      'a=group:BUNDLE 0 1',
      'm=video 9 UDP/TLS/RTP/SAVPF 120',
      'a=mid:0',
      'a=rtpmap:120 VP8/90000',
      'a=fmtp:120 max-fs=12288;max-fr=60',
      'a=rtcp-fb:120 nack',
      'a=rtcp-fb:120 nack pli',
      'm=audio 9 UDP/TLS/RTP/SAVPF 109',
      'a=mid:1',
      'a=rtpmap:109 opus/48000/2',
      'a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1',
    ],
  ],
  [
    'Safari-like',
    [
      'a=group:BUNDLE 0 1',
      'm=video 9 UDP/TLS/RTP/SAVPF 98',
      'a=mid:0',
      'a=rtpmap:98 H264/90000',
      `a=fmtp:98 ${BASELINE}`,
      'a=rtcp-fb:98 nack',
      'a=rtcp-fb:98 nack pli',
      'm=audio 9 UDP/TLS/RTP/SAVPF 111',
      'a=mid:1',
      'a=rtpmap:111 opus/48000/2',
      `a=fmtp:111 ${OPUS}`,
    ],
  ],
  [
    'GStreamer 1.22',
    [
      'a=group:BUNDLE audio0 video1',
      'm=audio 9 UDP/TLS/RTP/SAVPF 111',
      'a=mid:audio0',
      'a=rtpmap:111 OPUS/48000/2',
      'm=video 9 UDP/TLS/RTP/SAVPF 102',
      'a=mid:video1',
      'a=rtpmap:102 H264/90000',
      'a=rtcp-fb:102 nack pli',
    ],
  ],
])('%s', async (name, expected) => {
  const viewing = await stage.view('/live/a', parseOffer(RECORDED_OFFERS[name]));
  const lines = viewing.answer.split('\r\n');
  const told = lines.filter((line) => /^(m=|a=(group|mid|rtpmap|fmtp):|a=rtcp-fb:\d+ nack)/.test(line));
  expect(told).toEqual(expected);
  viewing.close('viewer_left');
});
