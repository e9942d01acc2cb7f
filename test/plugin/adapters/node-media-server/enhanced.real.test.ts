/** Enhanced RTMP through node-media-server: what the tap gets of it, and viewers who come later. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { PublisherTap } from '../../../../plugin/adapters/node-media-server.ts';
import { kindOfBody } from '../../../../plugin/adapters/node-media-server/media-kind.ts';
import { parseFlvTag, type FlvTag } from '../../../../plugin/rtp/index.ts';
import {
  connectEnhanced,
  encodeOpus,
  encodeVideo,
  interleave,
  sendMessages,
  VIDEO_FOURCCS,
  type EnhancedMessage,
} from '../../../support/enhanced-publisher.ts';
import { eventually, openReader, type Reader } from '../../../support/flv-readers.ts';
import { newPath, startGuardedNms, STREAM_KEY, type GuardedNms } from '../../../support/guarded-nms.ts';
import { makeTag } from '../../rtp/flv-clip.ts';
import type { RtmpClient } from './rtmp-client.ts';

const taps = new Map<string, Buffer[]>();
let house: GuardedNms;
let opus: EnhancedMessage[];

beforeAll(async () => {
  const onPublisher = (path: string): PublisherTap => {
    const tags: Buffer[] = [];
    taps.set(path, tags);
    return { pushTag: (tag) => void tags.push(tag), close: () => undefined };
  };
  house = await startGuardedNms({ guard: { onPublisher } });
  opus = await encodeOpus(2);
});

afterAll(() => house.stop());

async function publish(path: string, messages: readonly EnhancedMessage[]): Promise<RtmpClient> {
  const [, app = '', name = ''] = path.split('/');
  const client = await connectEnhanced(house.ports.rtmp, app, `${name}?key=${STREAM_KEY}`);
  onTestFinished(() => void client.socket.destroy());
  expect(await client.status()).toBe('NetStream.Publish.Start');
  await sendMessages(client, messages);
  return client;
}

async function watch(column: 'http-flv' | 'rtmp', path: string): Promise<Reader> {
  const reader = openReader(column, {
    ports: house.ports,
    path,
    query: `pass=${await house.pass(path)}`,
  });
  onTestFinished(() => reader.destroy());
  return reader;
}

const sentTags = (messages: readonly EnhancedMessage[]): FlvTag[] =>
  messages.map(({ type, timeMs, body }) => parseFlvTag(makeTag(type, body, timeMs)));

const kindsOf = ({ messages }: Reader): string[] =>
  messages.map(({ type, payload }) => kindOfBody(type, payload, 0, payload.length));

/** The second group of pictures and what follows it, as the host should have kept it. */
function lastGroup(messages: readonly EnhancedMessage[]): EnhancedMessage[] {
  const isKeyframe = ({ type, body }: EnhancedMessage): boolean =>
    kindOfBody(type, body, 0, body.length) === 'keyframe';
  return messages.slice(messages.findLastIndex(isKeyframe));
}

describe.each(VIDEO_FOURCCS)('%s with Opus', (fourCc) => {
  let messages: EnhancedMessage[];

  beforeAll(async () => {
    messages = interleave(await encodeVideo(fourCc, { seconds: 2 }), opus);
  });

  test('reaches the tap tag by tag', async () => {
    const path = newPath();
    await publish(path, messages);
    const tags = await eventually(() => taps.get(path)?.length === messages.length && taps.get(path));
    const parsed = tags.map((tag) => parseFlvTag(tag));
    expect(parsed).toEqual(sentTags(messages));
    const kinds = new Set(parsed.map(({ kind }) => kind));
    const video = fourCc === 'avc1' ? ['avc-config', 'avc-frame'] : ['video-config', 'video-frame'];
    expect([...kinds].sort()).toEqual([...video, 'opus-config', 'opus-frame'].sort());
  });

  test('is known to the host’s health by name', async () => {
    const path = newPath();
    await publish(path, messages);
    const codecs = { avc1: 'H.264', hvc1: 'H.265', av01: 'AV1', vp09: 'VP9' };
    const health = await eventually(() => {
      const found = house.guard.streams().find(({ uri }) => uri === path)?.health;
      return found !== undefined && found.video !== null && found.audio !== null && found;
    });
    expect(health).toMatchObject({
      video: { codec: codecs[fourCc] },
      audio: { codec: 'Opus', sampleRateHz: 48_000, channels: 2 },
      malformedTags: 0,
    });
  });

  test.each(['http-flv', 'rtmp'] as const)(
    'who comes late over %s gets both configurations and the last group of pictures',
    async (column) => {
      const path = newPath();
      await publish(path, messages);
      await eventually(() => taps.get(path)?.length === messages.length);
      const reader = await watch(column, path);
      const group = lastGroup(messages);
      await eventually(() => reader.messages.length >= group.length + 2);
      expect(kindsOf(reader).slice(0, 2).sort()).toEqual(['audio-head', 'video-head']);
      expect(kindsOf(reader)[2]).toBe('keyframe');
      expect(reader.messages.slice(2).map(({ payload }) => payload)).toEqual(group.map(({ body }) => body));
      const heads = messages.filter(({ timeMs, body }) => timeMs === 0 && (body[0]! & 0x0f) === 0);
      for (const { body } of heads)
        expect(reader.messages.map(({ payload }) => payload)).toContainEqual(body);
    },
  );
});
