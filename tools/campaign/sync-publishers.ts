/** Publishers of the test card whose sound and picture take different ways to the viewer. */
import {
  connectEnhanced,
  encodeOpus,
  encodeVideo,
  interleave,
  sendMessages,
} from '../../test/support/enhanced-publisher.ts';
import {
  obsDefaults,
  publishTestCard,
  testCardPicture,
  TEST_CARD_SOUND,
  type Encoder,
} from '../../test/support/stack.ts';

export interface PublishTarget {
  readonly rtmpPort: number;
  /** `app/name?key=...` */
  readonly stream: string;
  /** How long it may be asked to publish. */
  readonly seconds: number;
}

export interface SyncPublisher {
  /** What befalls it after each reading; nothing where it is absent. */
  disturb?(): Promise<void>;
  stop(): Promise<void>;
}

export interface SyncWay {
  readonly name: string;
  publish(target: PublishTarget): Promise<SyncPublisher>;
}

const FPS = 30;
const DROPPED_FOR_MS = 5000;
const PAUSE_SECONDS = 3;
/** Small, so that two cores carry all of them at once. */
const SMALL = ['-s', '320x180'];
const AAC = ['-c:a', 'aac', '-b:a', '128k', '-ar', '48000', '-ac', '2'];
/** x264 as WebRTC can show it. */
const WITHOUT_B_FRAMES = [
  ...['-c:v', 'libx264', '-preset', 'veryfast', '-profile:v', 'baseline', '-bf', '0'],
  ...['-g', '60', '-pix_fmt', 'yuv420p', ...AAC],
];
/** Leaves out some seconds of each minute, and lets the timestamps go on. */
const kept = `not(between(mod(t,60),5,${5 + PAUSE_SECONDS}))`;
const PAUSING = ['-vf', `select='${kept}'`, '-af', `aselect='${kept}'`, '-vsync', 'vfr'];

const publishByFfmpeg = ({ rtmpPort, stream }: PublishTarget, codecs: readonly string[]): Encoder =>
  publishTestCard(`rtmp://127.0.0.1:${rtmpPort}/${stream}`, { fps: FPS, codecs: [...codecs, ...SMALL] });

/** Opus by FourCC, which Debian's ffmpeg does not publish: encoded before, and sent in real time. */
async function publishOpus({ rtmpPort, stream, seconds }: PublishTarget): Promise<SyncPublisher> {
  const [picture, sound] = await Promise.all([
    encodeVideo('avc1', { seconds, picture: `${testCardPicture(FPS)},scale=320:180`, keyframeFrames: FPS }),
    encodeOpus(seconds, { sound: TEST_CARD_SOUND }),
  ]);
  const [app = '', name = ''] = stream.split('/');
  const client = await connectEnhanced(rtmpPort, app, name);
  const status = await client.status();
  if (status !== 'NetStream.Publish.Start') throw new Error(`the publisher was refused: ${status}`);
  void sendMessages(client, interleave(picture, sound), performance.now());
  return {
    async stop() {
      client.socket.destroy();
      await client.ended;
    },
  };
}

function publishDropping(target: PublishTarget): SyncPublisher {
  let encoder = publishByFfmpeg(target, WITHOUT_B_FRAMES);
  return {
    async disturb() {
      await encoder.stop();
      await new Promise((resolve) => setTimeout(resolve, DROPPED_FOR_MS));
      encoder = publishByFfmpeg(target, WITHOUT_B_FRAMES);
    },
    stop: () => encoder.stop(),
  };
}

const byFfmpeg = (codecs: readonly string[]) => (target: PublishTarget) =>
  Promise.resolve(publishByFfmpeg(target, codecs));

export const OPUS_PASSED_THROUGH: SyncWay = {
  name: 'Opus by Enhanced RTMP (both passed through)',
  publish: publishOpus,
};

export const PUBLISHER_GONE: SyncWay = {
  name: 'the publisher gone for 5 s, each minute',
  publish: (target) => Promise.resolve(publishDropping(target)),
};

export const SYNC_WAYS: readonly SyncWay[] = [
  { name: 'AAC, x264 without B-frames (passed through)', publish: byFfmpeg(WITHOUT_B_FRAMES) },
  { name: 'AAC, OBS’s defaults (re-encoded)', publish: byFfmpeg(obsDefaults()) },
  OPUS_PASSED_THROUGH,
  PUBLISHER_GONE,
  {
    name: 'nothing for 3 s, each minute, timestamps going on',
    publish: byFfmpeg([...WITHOUT_B_FRAMES, ...PAUSING]),
  },
];
