import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { flvFormat } from '../../../../plugin/adapters/node-media-server/media-kind.ts';
import { flvOf, type MadeKind } from './messages.ts';
import { createViewerWorld, MiB } from './viewer-world.ts';

describe('whatever comes and however slowly it is read', () => {
  const kinds = fc.constantFrom<MadeKind>(
    'picture',
    'picture',
    'picture',
    'sound',
    'sound',
    'keyframe',
    'video-head',
    'audio-head',
    'metadata-head',
  );
  const step = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('send' as const),
        kind: kinds,
        aheadMs: fc.oneof(
          { weight: 9, arbitrary: fc.integer({ min: 0, max: 300 }) },
          fc.integer({ min: -5000, max: 5000 }),
        ),
        bodyBytes: fc.oneof(
          { weight: 9, arbitrary: fc.integer({ min: 8, max: 2000 }) },
          fc.constant(3 * MiB),
        ),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('drain' as const) }) },
  );

  test('what leaves can be decoded, is in order, counts what it is, and little waits', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 200 }),
        fc.integer({ min: 1, max: 10_000 }),
        async (steps, roomBytes) => {
          const { viewer, outlet, start, play, drain, clock } = createViewerWorld({ roomBytes });
          start(['file-head', 'metadata-head', 'audio-head']);
          const sent: Buffer[] = [];
          const latest = new Map<string, Buffer>();
          let timeMs = 0xff_ff_f0_00;
          let lastMs = 0;
          for (const action of steps) {
            if (action.do === 'drain') drain();
            else {
              timeMs = (timeMs + action.aheadMs + 2 ** 32) % 2 ** 32;
              play(Math.max(0, action.aheadMs));
              const message = flvOf(action.kind, timeMs, action.bodyBytes, sent.length % 256);
              sent.push(message);
              viewer.send(message);
            }
            const { mediaMs, bytes } = await viewer.counters();
            expect(mediaMs).toBeGreaterThanOrEqual(lastMs);
            expect(mediaMs).toBeLessThanOrEqual(clock.monotonicMs() - 5000);
            expect(bytes).toBeLessThanOrEqual(outlet.written.reduce((sum, { length }) => sum + length, 0));
            lastMs = mediaMs;
          }
          for (let count = 0; count < steps.length + 4; count++) drain();

          const written = outlet.written.filter((message) => sent.includes(message));
          const places = written.map((message) => sent.indexOf(message));
          // Heads may be held back; the rest keeps its order, and nothing leaves twice.
          const media = places.filter((place) => !flvFormat.kindOf(sent[place]!).endsWith('-head'));
          expect(media).toEqual([...media].sort((a, b) => a - b));
          expect(new Set(places).size).toBe(places.length);

          let previous: number | undefined;
          let head: Buffer | undefined;
          for (const place of places) {
            const message = sent[place]!;
            const kind = flvFormat.kindOf(message);
            if (kind === 'video-head') head = message;
            if (kind === 'keyframe' || kind === 'picture') {
              // The configuration of the viewer is the one that the stream had then.
              latest.clear();
              for (const earlier of sent.slice(0, place)) latest.set(flvFormat.kindOf(earlier), earlier);
              expect(head).toBe(latest.get('video-head'));
            }
            if (kind === 'picture') {
              expect(previous).toBeDefined();
              const between = sent.slice(previous! + 1, place).map((one) => flvFormat.kindOf(one));
              expect(between).not.toContain('picture');
              expect(between).not.toContain('keyframe');
            }
            if (kind === 'keyframe' || kind === 'picture') previous = place;
          }
          if (outlet.written.length > 0) expect(flvFormat.kindOf(outlet.written[0]!)).toBe('file-head');
        },
      ),
      { numRuns: 300 },
    );
  });

  test('what waits is at most a second, and 8 MiB', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 8, max: 2 * MiB }), kinds), {
          maxLength: 60,
        }),
        (messages) => {
          const { outlet, viewer, start, drain } = createViewerWorld({ roomBytes: 1 });
          start(['file-head', 'video-head', 'keyframe']);
          let timeMs = 0;
          for (const [aheadMs, bodyBytes, kind] of messages) {
            timeMs += aheadMs;
            viewer.send(flvOf(kind, timeMs, bodyBytes));
          }
          outlet.written.splice(0);
          outlet.roomBytes = Number.POSITIVE_INFINITY;
          drain();
          const waited = outlet.written.filter((message) => !flvFormat.kindOf(message).endsWith('-head'));
          const times = waited.map((message) => flvFormat.timeOf(message));
          expect(Math.max(0, ...times) - Math.min(...times, Math.max(0, ...times))).toBeLessThanOrEqual(1000);
          expect(outlet.written.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(
            8 * MiB + 6 * MiB,
          );
        },
      ),
      { numRuns: 60 },
    );
  });
});
