/** What streaming servers have on the air: over HTTP in, over GraphQL out. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateSigningKey } from '../../plugin/ticket/index.ts';
import { SERVER_ID, startOrderServer, type TestOrderServer } from '../support/order-server.ts';
import { HEALTHY, ON_AIR_SINCE, streamStatus } from '../support/streams.ts';

let server: TestOrderServer;
beforeAll(async () => {
  server = await startOrderServer();
});
afterAll(() => server.close());

const STREAMS = `{ streamingServers { id streams { path onAirSince viewers reportedAt
  video { codec profileLevelId width height hasBFrames keyframeIntervalMs framesPerSecond bitsPerSecond }
  audio { codec sampleRateHz channels bitsPerSecond } warnings { code text }
  reencoders { codec running restarts droppedPictures lagMs reduction } } } }`;
const CATALOG = '{ catalog { edges { node { path onAir } } } }';

async function onAir(): Promise<string[]> {
  const { data } = await server.graphql(CATALOG);
  const { edges } = data!['catalog'] as unknown as { edges: { node: { path: string; onAir: boolean } }[] };
  return edges.filter(({ node }) => node.onAir).map(({ node }) => node.path);
}

async function streamPaths(): Promise<string[]> {
  const { data } = await server.graphql(STREAMS, {}, await server.tokenOf('staff'));
  const [{ streams }] = data!['streamingServers'] as unknown as [{ streams: { path: string }[] }];
  return streams.map(({ path }) => path);
}

const send = (streams: readonly unknown[]) => server.send('/v1/streams', 'streams+jwt', { streams });

describe('what is on the air', () => {
  it('is seen by staff with the publisher’s health, and by everyone in the catalog', async () => {
    const warnings = [{ code: 'keyframe_interval', text: 'keyframe every 8 s' }];
    const reencoder = { codec: 'H.264', running: true, restarts: 1, droppedPictures: 250, lagMs: 120 };
    // Media servers that leave nothing out do not say so.
    const reencoders = [{ ...reencoder, reduction: 1 }, reencoder];
    const health = { ...HEALTHY, audio: null, malformedTags: 3, warnings, reencoders };
    const answer = await send([{ ...streamStatus('/live/demo', { viewers: 3 }), health }]);
    expect([answer.status, await answer.json()]).toEqual([200, {}]);
    const { data } = await server.graphql(STREAMS, {}, await server.tokenOf('staff'));
    expect(data).toMatchObject({
      streamingServers: [
        {
          id: SERVER_ID,
          streams: [
            {
              path: '/live/demo',
              onAirSince: new Date(ON_AIR_SINCE * 1000).toISOString(),
              viewers: 3,
              video: HEALTHY.video,
              audio: null,
              warnings,
              reencoders: [
                { ...reencoder, reduction: 1 },
                { ...reencoder, reduction: 0 },
              ],
            },
          ],
        },
      ],
    });
    expect(await onAir()).toEqual(['/live/demo']);
    await send([]);
    expect(await onAir()).toEqual([]);
  });

  it('comes without re-encoders from a server that knows none', async () => {
    await send([streamStatus('/live/demo')]);
    const { data } = await server.graphql(STREAMS, {}, await server.tokenOf('staff'));
    expect(data).toMatchObject({ streamingServers: [{ streams: [{ reencoders: [] }] }] });
    await send([]);
  });

  it('is forgotten when the server falls silent for 30 s', async () => {
    await send([streamStatus('/live/demo')]);
    server.advance(29_000);
    expect(await streamPaths()).toEqual(['/live/demo']);
    server.advance(1001);
    expect(await streamPaths()).toEqual([]);
    expect(await onAir()).toEqual([]);
  });
});

describe('a report is refused', () => {
  it.each<[string, readonly unknown[]]>([
    ['with a stream twice', [streamStatus('/live/a'), streamStatus('/live/a')]],
    ['of 501 streams', Array.from({ length: 501 }, (_, index) => streamStatus(`/live/${String(index)}`))],
    ['with a path that is none', [streamStatus('/live/../a')]],
    ['with a member too many', [{ ...streamStatus('/live/a'), extra: 1 }]],
    [
      'with more re-encoders than a stream has',
      [
        streamStatus('/live/a', {
          health: {
            ...HEALTHY,
            reencoders: Array.from({ length: 5 }, () => ({
              codec: 'VP8',
              running: true,
              restarts: 0,
              droppedPictures: 0,
              lagMs: 0,
            })),
          },
        }),
      ],
    ],
    ['with viewers below zero', [streamStatus('/live/a', { viewers: -1 })]],
    [
      'with a codec of control characters',
      [streamStatus('/live/a', { health: { ...HEALTHY, video: { ...HEALTHY.video!, codec: 'a\u0000' } } })],
    ],
    [
      'with a warning without end',
      [
        streamStatus('/live/a', {
          health: { ...HEALTHY, warnings: [{ code: 'bitrate', text: 'x'.repeat(201) }] },
        }),
      ],
    ],
  ])('%s', async (_what, streams) => {
    const answer = await send(streams);
    expect(await answer.json()).toMatchObject({ code: 'request_malformed' });
    expect(await streamPaths()).toEqual([]);
  });

  it('of another kind of message, and by a key that is not registered', async () => {
    const wrong = await server.send('/v1/streams', 'receipts+jwt', { streams: [] });
    expect(await wrong.json()).toMatchObject({ code: 'request_malformed' });
    const key = await generateSigningKey();
    const forged = await server.send('/v1/streams', 'streams+jwt', { streams: [] }, key);
    expect(await forged.json()).toMatchObject({ code: 'server_untrusted' });
  });

  it('over 256 KiB', async () => {
    const answer = await fetch(`${server.url}/v1/streams`, {
      method: 'POST',
      headers: { 'content-type': 'application/jose' },
      body: 'x'.repeat(256 * 1024 + 1),
    });
    expect(await answer.json()).toMatchObject({ code: 'body_too_large' });
  });
});
