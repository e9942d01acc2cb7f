/** `npm run campaign -- NAME [OPTION...]`. Exit status 1 when something was found, 2 for wrong use. */
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { describeChaos, faultsOfChaos, runChaos } from './campaign/chaos.ts';
import { faultsOf, runForge } from './campaign/forge.ts';
import { faultsOfMetering, runMetering } from './campaign/metering.ts';
import { faultsOfSync, runSync, SYNC_BAR_MS } from './campaign/sync.ts';

const USAGE = `usage: npm run campaign -- forge [--count N] [--seed S]
       npm run campaign -- sync [--minutes N]
       npm run campaign -- chaos [--kills N] [--viewers N] [--minutes N] [--seed S]
       npm run campaign -- metering [--minutes N] [--seed S]

  forge   forged tickets and proofs through the gate (1,000,000); none may be admitted
  sync    flash and beep in Chromium, minute by minute (10); never more than ${SYNC_BAR_MS} ms apart
  chaos   kill -9 of media server, order server and PostgreSQL (100) under viewers (50), for 11 minutes at most;
          the books must be what the viewers have counted, but for one receipt interval for each kill
  metering  ffmpeg, Chromium and an RTSP client for 3 minutes, with pauses, reconnects and 2% loss: billed are the seconds
          (1) and bytes (1%) that they have counted`;
const DEFAULT_COUNT = 1_000_000;
const DEFAULT_SEED = 35_571;
const DEFAULT_MINUTES = 10;
/** Tickets are good for a day. */
const MAX_MINUTES = 600;
const DEFAULT_KILLS = 100;
const DEFAULT_VIEWERS = 50;
const MAX_VIEWERS = 200;
const DEFAULT_CHAOS_MINUTES = 11;
const DEFAULT_METERING_MINUTES = 3;

function whole(name: string, text: string | undefined, otherwise: number, most = 999_999_999): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < 1 || value > most)
    throw new TypeError(`--${name} is a whole number from 1 to ${most}`);
  return value;
}

async function forge(args: string[]): Promise<string[]> {
  const { values } = parseArgs({ args, options: { count: { type: 'string' }, seed: { type: 'string' } } });
  const count = whole('count', values.count, DEFAULT_COUNT);
  const seed = whole('seed', values.seed, DEFAULT_SEED);
  const number = new Intl.NumberFormat('en');
  const startMs = performance.now();
  console.log(`forge: ${number.format(count)} forgeries, seed ${seed}`);
  const result = await runForge({
    count,
    seed,
    progress: (tried) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${number.format(tried)}`);
    },
  });
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
  for (const [kind, tried] of result.kinds) console.log(`${number.format(tried).padStart(9)}  ${kind}`);
  console.log('refused with');
  for (const [code, times] of [...result.codes].toSorted(([, a], [, b]) => b - a))
    console.log(`${number.format(times).padStart(9)}  ${code}`);
  const { honest, admitted, tried, kinds } = result;
  const seconds = ((performance.now() - startMs) / 1000).toFixed(0);
  console.log(
    `${number.format(tried)} forgeries of ${kinds.size} kinds: ${admitted.length} admitted. ` +
      `${number.format(honest.tried)} honest requests: ${number.format(honest.admitted)} admitted. ${seconds} s`,
  );
  return faultsOf(result);
}

async function sync(args: string[]): Promise<string[]> {
  const { values } = parseArgs({ args, options: { minutes: { type: 'string' } } });
  const minutes = whole('minutes', values.minutes, DEFAULT_MINUTES, MAX_MINUTES);
  console.log(
    `sync: beep minus flash in milliseconds, median of 20 s at the end of each of ${minutes} minutes`,
  );
  const line = (minute: string, cells: string[], last = '') =>
    console.log([minute.padStart(6), ...cells.map((cell) => cell.padStart(8)), last].join(''));
  const rows = await runSync({
    minutes,
    onWays: (names) => names.forEach((name, index) => console.log(`${`(${index + 1})`.padStart(6)} ${name}`)),
    progress: (minute, readings) =>
      line(
        String(minute),
        readings.map(({ medianMs }) => medianMs.toFixed(1)),
        `   processors ${((readings[0]?.idle ?? 0) * 100).toFixed(0)}% idle`,
      ),
  });
  line(
    'worst',
    rows.map(({ readings }) => Math.max(...readings.map(({ medianMs }) => Math.abs(medianMs))).toFixed(1)),
  );
  return faultsOfSync(rows);
}

async function chaos(args: string[]): Promise<string[]> {
  const option = { type: 'string' } as const;
  const { values } = parseArgs({
    args,
    options: { kills: option, viewers: option, minutes: option, seed: option },
  });
  const kills = whole('kills', values.kills, DEFAULT_KILLS);
  const viewers = whole('viewers', values.viewers, DEFAULT_VIEWERS, MAX_VIEWERS);
  const minutes = whole('minutes', values.minutes, DEFAULT_CHAOS_MINUTES, MAX_MINUTES);
  const seed = whole('seed', values.seed, randomInt(1, 1_000_000));
  const startMs = performance.now();
  const passed = (): string => `${((performance.now() - startMs) / 1000).toFixed(0)} s`;
  console.log(`chaos: ${kills} kills under ${viewers} viewers, seed ${seed}`);
  const result = await runChaos({
    ...{ kills, viewers, seed, withinMs: minutes * 60_000 },
    progress: (kill, victim, watching) =>
      console.log(`${String(kill).padStart(5)}  ${passed().padStart(6)}  ${victim}, ${watching} watching`),
  });
  for (const line of describeChaos(result)) console.log(line);
  console.log(passed());
  return faultsOfChaos(result);
}

async function metering(args: string[]): Promise<string[]> {
  const option = { type: 'string' } as const;
  const { values } = parseArgs({ args, options: { minutes: option, seed: option } });
  const minutes = whole('minutes', values.minutes, DEFAULT_METERING_MINUTES, MAX_MINUTES);
  const seed = whole('seed', values.seed, randomInt(1, 1_000_000));
  console.log(`metering: ${minutes} minutes, seed ${seed}; counted / billed`);
  const rows = await runMetering({ minutes, seed });
  for (const { name, counted, billed } of rows) {
    const seconds = [counted, billed].map(({ mediaMs }) => `${(mediaMs / 1000).toFixed(2)} s`).join(' / ');
    const bytes = [counted, billed].map((one) => String(one.bytes)).join(' / ');
    console.log(`${name.padEnd(36)}${seconds.padStart(22)}  ${bytes} bytes`);
  }
  return faultsOfMetering(rows);
}

const CAMPAIGNS: Readonly<Record<string, (args: string[]) => Promise<string[]>>> = {
  forge,
  sync,
  chaos,
  metering,
};

try {
  const [name = '', ...args] = process.argv.slice(2);
  const campaign = Object.hasOwn(CAMPAIGNS, name) ? CAMPAIGNS[name] : undefined;
  if (campaign === undefined) throw new TypeError('no such campaign');
  const faults = await campaign(args);
  for (const fault of faults) console.error(fault);
  process.exitCode = faults.length === 0 ? 0 : 1;
} catch (error) {
  if (!(error instanceof TypeError)) throw error;
  console.error(`${error.message}\n\n${USAGE}`);
  process.exitCode = 2;
}
