/**
 * SRTP to receivers that are not browsers: packets protected and sent for a second of CPU, of our fan-out beside
 * mediasoup's PlainTransports, both fed with the same packets at the same time, for the reason that `flv.ts` gives; and
 * the protection alone beside `openssl speed`.
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { SRTP_SUITES, type SrtpSuiteName } from '../plugin/srtp/index.ts';
import { ask, readSide, startChild, untilServed, wait, withChildren, type ServedSide } from './children.ts';
import { compared, type Bench, type Figure } from './harness.ts';
import { protectionFigure } from './srtp-openssl.ts';
import type { ReadersCount, ReceiverLine } from './srtp-readers.ts';
import { PAYLOAD_TYPE, SSRC, type ServerReady, type ServerUsage } from './srtp-server.ts';

const RECEIVERS = 32;
const PAYLOAD_BYTES = 1100;
/** A frame of 4 Mb/s at 30 frames a second. */
const PACKETS_PER_FRAME = 15;
const FRAME_MS = 33;
/** Processes on each side, one after the other. */
const PROCESSES = 4;
const WINDOWS = 4;
const MEASURED_MS = 2500;
const BAR = 0.5;
/** Of the packets that are due in a window, those that must have come: its ends are not sharp. */
const LEAST_ARRIVED = 0.93;

type Mode = 'ours' | 'mediasoup';

interface Side extends ServedSide {
  readonly port: number;
}

interface Source {
  packets(): number;
  stop(): void;
}

/** The same packets to all sides: parameter sets, which mediasoup takes for keyframes, so that nobody waits for one. */
function sendTo(ports: readonly number[]): Source {
  const socket = createSocket('udp4');
  const packet = Buffer.concat([Buffer.alloc(12), randomBytes(PAYLOAD_BYTES)]);
  packet.writeUInt16BE(0x8080 | PAYLOAD_TYPE, 0);
  packet.writeUInt32BE(SSRC, 8);
  packet[12] = 0x67;
  let packets = 0;
  const timer = setInterval(() => {
    for (let count = 0; count < PACKETS_PER_FRAME; count++) {
      packets += 1;
      packet.writeUInt16BE(packets & 0xffff, 2);
      packet.writeUInt32BE((Math.floor(packets / PACKETS_PER_FRAME) * 3000) >>> 0, 4);
      for (const port of ports) socket.send(Buffer.from(packet), port, '127.0.0.1');
    }
  }, FRAME_MS);
  return {
    packets: () => packets,
    stop: () => {
      clearInterval(timer);
      socket.close();
    },
  };
}

/** Starts a server and its receivers, for as long as `use` runs. */
async function withSide<T>(mode: Mode, suite: SrtpSuiteName, use: (side: Side) => Promise<T>): Promise<T> {
  const started = {
    child: startChild('./srtp-server.ts', [mode, suite]),
    readers: startChild('./srtp-readers.ts'),
  };
  return withChildren(started, async ({ child, readers }) => {
    const { port } = await ask<ServerReady>(child);
    const ports = await ask<number[]>(readers, { ask: 'open', count: RECEIVERS });
    const lines = await ask<ReceiverLine[]>(child, { ask: 'serve', ports });
    await ask<ReadersCount>(readers, { ask: 'expect', lines });
    return use({ child, readers, port });
  });
}

const read = (side: Side) => readSide<ServerUsage, ReadersCount>(side);

/** Packets for a CPU second, by windows; a list for each side. */
async function measure(sides: readonly [Side, Side], rates: readonly [number[], number[]]): Promise<void> {
  const source = sendTo(sides.map(({ port }) => port));
  try {
    await untilServed(sides, RECEIVERS, 100);
    await wait(1000);
    for (let window = 0; window < WINDOWS; window++) {
      const sentBefore = source.packets();
      const from = await Promise.all(sides.map(read));
      await wait(MEASURED_MS);
      const to = await Promise.all(sides.map(read));
      const due = (source.packets() - sentBefore) * RECEIVERS;
      for (const [index, into] of rates.entries()) {
        const [start, end] = [from[index], to[index]];
        if (start === undefined || end === undefined) throw new Error('no side');
        const packets = end.packets - start.packets;
        if (packets < due * LEAST_ARRIVED)
          throw new Error(`of ${String(due)} packets of side ${String(index)}, ${String(packets)} have come`);
        into.push(packets / (end.cpuSeconds - start.cpuSeconds));
      }
    }
  } finally {
    source.stop();
  }
}

async function compare(
  modes: readonly [Mode, Mode],
  suite: SrtpSuiteName,
  processes: number,
  progress: (line: string) => void,
): Promise<readonly [number[], number[]]> {
  const rates: readonly [number[], number[]] = [[], []];
  for (let index = 0; index < processes; index++) {
    await withSide(modes[0], suite, (a) => withSide(modes[1], suite, (b) => measure([a, b], rates)));
    progress(`${modes.join(' beside ')}, ${suite}: ${String(index + 1)} of ${String(processes)}`);
  }
  return rates;
}

async function run(progress: (line: string) => void, quick: boolean): Promise<Figure[]> {
  const processes = quick ? 1 : PROCESSES;
  const figures: Figure[] = [];
  for (const suite of Object.keys(SRTP_SUITES) as SrtpSuiteName[]) {
    const main = await compare(['ours', 'mediasoup'], suite, processes, progress);
    figures.push(compared(`${suite}, beside mediasoup`, 'packets per CPU second', ...main, { atLeast: BAR }));
    const same = await compare(['mediasoup', 'mediasoup'], suite, processes, progress);
    figures.push(compared(`A/A (mediasoup, mediasoup), ${suite}`, 'packets per CPU second', ...same));
    figures.push(await protectionFigure(suite));
  }
  return figures;
}

export const bench: Bench = {
  name: 'srtp',
  what: `${String(RECEIVERS)} receivers of 4 Mb/s, ${String(PROCESSES)} processes a side, ${String(WINDOWS)} windows of ${String(MEASURED_MS / 1000)} s each`,
  run,
};
