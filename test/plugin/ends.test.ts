/** How an end is told, reason by reason and protocol by protocol: the table of docs/protocol.md. */
import { Socket } from 'node:net';
import { expect, it } from 'vitest';
import type WebSocket from 'ws';
import { isWorthWaiting, codeOfEnd, wordsFor } from '../../player-demo/src/problems.ts';
import { rtmpOutlet, webSocketOutlet } from '../../plugin/adapters/node-media-server/outlets.ts';
import { END_REASONS, type EndReason } from '../../plugin/contract.ts';

const STOP = 'NetStream.Play.Stop';

interface Told {
  readonly webSocket: number;
  readonly rtmp: readonly ['status' | 'error', string];
  /** What the demo player shows first. */
  readonly title: string;
  /** The player tries again by itself. */
  readonly waits?: true;
}

const TABLE: Readonly<Record<EndReason, Told>> = {
  completed: { webSocket: 1000, rtmp: ['status', STOP], title: 'The end' },
  // The player has left itself, or the network has: told to nobody.
  viewer_left: { webSocket: 4403, rtmp: ['error', STOP], title: 'Something went wrong' },
  expired: { webSocket: 4401, rtmp: ['error', STOP], title: 'Your ticket has expired' },
  exhausted: { webSocket: 4403, rtmp: ['error', STOP], title: 'Your ticket is used up' },
  revoked: { webSocket: 4403, rtmp: ['error', STOP], title: 'Your ticket was withdrawn' },
  kicked: { webSocket: 4403, rtmp: ['error', STOP], title: 'The session was ended' },
  replaced: { webSocket: 4403, rtmp: ['error', STOP], title: 'Playing elsewhere' },
  viewer_stalled: { webSocket: 4408, rtmp: ['error', STOP], title: 'The connection was too slow' },
  above_tier: { webSocket: 4403, rtmp: ['error', STOP], title: 'Your ticket does not cover this' },
  server_stopped: {
    webSocket: 1001,
    rtmp: ['error', STOP],
    title: 'The streaming server is restarting',
    waits: true,
  },
  server_crashed: {
    webSocket: 1001,
    rtmp: ['error', STOP],
    title: 'The streaming server is restarting',
    waits: true,
  },
  source_ended: {
    webSocket: 1000,
    rtmp: ['status', 'NetStream.Play.UnpublishNotify'],
    title: 'Bought. Off air now — it starts by itself.',
    waits: true,
  },
};

const none = (): void => undefined;

it.each(END_REASONS)('%s', (reason) => {
  const { webSocket, rtmp, title, waits = false } = TABLE[reason];
  const closed: [number, string][] = [];
  const fake = { send: none, close: (code: number, text: string) => void closed.push([code, text]) };
  webSocketOutlet(fake as unknown as WebSocket, new Socket(), none).close(reason);
  expect(closed).toEqual([[webSocket, expect.stringMatching(new RegExp(`^${reason}: .`))]]);

  const said: string[][] = [];
  rtmpOutlet(new Socket(), none, (...words) => void said.push(words)).close(reason);
  expect(said).toEqual([[...rtmp, closed[0]?.[1]]]);

  const code = codeOfEnd(reason);
  expect([wordsFor(code).title, isWorthWaiting(code)]).toEqual([title, waits]);
});
