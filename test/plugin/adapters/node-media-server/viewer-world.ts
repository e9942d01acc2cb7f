/** A viewer with a fake way out, a clock that is set by hand, and a stream whose media time is what the test says. */
import { flvFormat } from '../../../../plugin/adapters/node-media-server/media-kind.ts';
import { createViewer, type Outlet } from '../../../../plugin/adapters/node-media-server/viewer.ts';
import { createManualClock } from '../../media/fakes.ts';
import { flvOf, type MadeKind } from './messages.ts';

export const MiB = 1024 * 1024;
export const HEADS: readonly MadeKind[] = ['file-head', 'metadata-head', 'audio-head', 'video-head'];

export interface FakeOutlet extends Outlet {
  readonly written: Buffer[];
  readonly closed: string[];
  /** Bytes that it takes before it says stop; `drain` empties it. */
  roomBytes: number;
  held: number;
}

function fakeOutlet(roomBytes = Number.POSITIVE_INFINITY): FakeOutlet {
  const outlet: FakeOutlet = {
    written: [],
    closed: [],
    roomBytes,
    held: 0,
    write(data) {
      outlet.written.push(data);
      outlet.held += data.length;
      return outlet.held < outlet.roomBytes;
    },
    pendingBytes: () => (outlet.roomBytes === Number.POSITIVE_INFINITY ? 0 : outlet.held),
    close: (reason) => void outlet.closed.push(reason),
  };
  return outlet;
}

export function createViewerWorld({
  roomBytes = Number.POSITIVE_INFINITY,
  stalledAfterMs,
}: { roomBytes?: number; stalledAfterMs?: number } = {}) {
  const clock = createManualClock();
  let mediaMs = 0;
  const viewer = createViewer({ format: flvFormat, clock, stalledAfterMs, mediaMs: () => mediaMs });
  const outlet = fakeOutlet(roomBytes);
  return {
    clock,
    viewer,
    outlet,
    /** The stream's media time moves on, and with it the clock. */
    send(kind: MadeKind, timeMs = 0, bodyBytes = 16, fill = 0) {
      const message = flvOf(kind, timeMs, bodyBytes, fill);
      viewer.send(message);
      return message;
    },
    play(ms: number) {
      mediaMs += ms;
      clock.advance(ms);
    },
    start(kinds: readonly MadeKind[] = HEADS, bodyBytes = 16) {
      viewer.start(outlet, () => kinds.forEach((kind) => viewer.send(flvOf(kind, 0, bodyBytes))));
    },
    drain() {
      outlet.held = 0;
      viewer.drain();
    },
    written: () => outlet.written.map((message) => flvFormat.kindOf(message)),
    times: () => outlet.written.map((message) => flvFormat.timeOf(message)),
    clear: () => void outlet.written.splice(0),
  };
}
