/**
 * The other side of the back-pressure test, in a process of its own: a publisher, and viewers of whom some stop reading
 * or read slowly. Told what to do over IPC.
 */
import { LIGHT_KINDS, openLightViewer, type LightViewer } from '../../../support/light-viewers.ts';
import { isDecodable, publishStamped, stampClockMs, type Stamp } from '../../../support/stamped-source.ts';

export interface LoadOrder {
  readonly ports: { readonly http: number; readonly rtmp: number };
  readonly streamKey: string;
  /** What most watch. */
  readonly crowd: {
    readonly path: string;
    readonly passes: readonly string[];
    readonly stoppers: number;
    readonly pictureBytes: number;
  };
  /** What is read slowly, one viewer for each kind. */
  readonly slow: {
    readonly path: string;
    readonly passes: readonly string[];
    readonly pictureBytes: number;
    readonly share: number;
  };
  readonly phaseMs: number;
}

export interface Delays {
  readonly pictures: number;
  readonly medianMs: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
}

export interface SlowFigures {
  readonly kind: string;
  readonly pictures: number;
  readonly groups: number;
  /** Of the numbers between the first and the last picture. */
  readonly lost: number;
  readonly isDecodable: boolean;
}

export type LoadReport =
  | { readonly is: 'stopped'; readonly before: Delays }
  | {
      readonly is: 'done';
      readonly during: Delays;
      readonly after: Delays;
      readonly slow: SlowFigures[];
      readonly gaps: number;
    };

const FRAMES_PER_SECOND = 25;
const GROUP_FRAMES = 12;

let delays: number[] = [];
/** Pictures that one of the others did not get. */
let gaps = 0;

function takeDelays(): Delays {
  const sorted = delays.sort((a, b) => a - b);
  delays = [];
  const at = (share: number): number =>
    Math.round((sorted[Math.floor((sorted.length - 1) * share)] ?? 0) * 100) / 100;
  return { pictures: sorted.length, medianMs: at(0.5), p90Ms: at(0.9), p99Ms: at(0.99) };
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function openCrowd({ ports, crowd }: LoadOrder): Promise<LightViewer[]> {
  const stoppers: LightViewer[] = [];
  for (const [index, pass] of crowd.passes.entries()) {
    const isStopper = index < crowd.stoppers;
    let last: number | undefined;
    function onStamp({ index: number, sentMs }: Stamp): void {
      if (isStopper) return;
      // What was cached is as old as it is.
      if (last !== undefined && last >= joinedAt + GROUP_FRAMES) {
        delays.push(stampClockMs() - sentMs);
        if (number !== last + 1) gaps += 1;
      }
      joinedAt = Math.min(joinedAt, number);
      last = number;
    }
    let joinedAt = Number.POSITIVE_INFINITY;
    const viewer = await openLightViewer(LIGHT_KINDS[index % LIGHT_KINDS.length]!, {
      ports,
      path: crowd.path,
      pass,
      onStamp,
    });
    if (isStopper) stoppers.push(viewer);
  }
  return stoppers;
}

async function openSlow({ ports, slow }: LoadOrder): Promise<() => SlowFigures[]> {
  const bytesPerSecond = slow.pictureBytes * FRAMES_PER_SECOND * slow.share;
  const readers = await Promise.all(
    slow.passes.map(async (pass, index) => {
      const kind = LIGHT_KINDS[index % LIGHT_KINDS.length]!;
      const stamps: Stamp[] = [];
      await openLightViewer(kind, {
        ports,
        path: slow.path,
        pass,
        bytesPerSecond,
        onStamp: (stamp) => void stamps.push(stamp),
      });
      return { kind, stamps };
    }),
  );
  return () =>
    readers.map(({ kind, stamps }) => ({
      kind,
      pictures: stamps.length,
      groups: stamps.filter(({ isKeyframe }) => isKeyframe).length,
      lost: stamps.at(-1)!.index - stamps[0]!.index + 1 - stamps.length,
      isDecodable: isDecodable(stamps),
    }));
}

async function run(order: LoadOrder): Promise<void> {
  const { ports, streamKey, crowd, slow, phaseMs } = order;
  const options = { framesPerSecond: FRAMES_PER_SECOND, groupFrames: GROUP_FRAMES };
  await publishStamped(ports.rtmp, crowd.path, streamKey, { ...options, pictureBytes: crowd.pictureBytes });
  await publishStamped(ports.rtmp, slow.path, streamKey, { ...options, pictureBytes: slow.pictureBytes });
  await wait(200);
  const readSlow = await openSlow(order);
  const stoppers = await openCrowd(order);
  takeDelays();
  await wait(phaseMs);
  const before = takeDelays();
  stoppers.forEach((viewer) => viewer.pause());
  report({ is: 'stopped', before });
  await new Promise<void>((resolve) => process.once('message', () => resolve()));
  const during = takeDelays();
  await wait(phaseMs);
  report({ is: 'done', during, after: takeDelays(), slow: readSlow(), gaps });
}

function report(message: LoadReport): void {
  process.send?.(message);
}

process.once('message', (order) => void run(order as LoadOrder));
process.on('disconnect', () => process.exit());
