// @ts-check
/**
 * Sets up a fresh clone and runs a program in it:  node tools/bootstrap.mjs COMMAND [ARGUMENT...]
 *
 * Needs Node >= 20 and npm, nothing installed. What is there already is left alone, so that the next
 * call takes a fraction of a second.
 */
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { withLock } from './bootstrap/lock.mjs';
import { say, SetUpError } from './bootstrap/log.mjs';
import { installPackages, nodeBinary } from './bootstrap/packages.mjs';
import { buildPlayer } from './bootstrap/player.mjs';
import { handleSignals, runProgram } from './bootstrap/processes.mjs';
import { installSystemPackages, missingPackages } from './bootstrap/system.mjs';
import { buildWorker, obtainWorker, PREBUILT_WARNING } from './bootstrap/worker.mjs';

const OLDEST_NODE = 20;
const VITEST = 'node_modules/vitest/vitest.mjs';

/**
 * @typedef {object} Command
 * @property {import('./bootstrap/system.mjs').RequirementName[]} system
 * @property {'find' | 'build' | 'none'} worker
 * @property {boolean} player whether the player's bundle is needed
 * @property {string[] | null} program null: set-up only
 */

/** @type {Record<string, Command>} */
const COMMANDS = {
  start: { system: ['ffmpeg'], worker: 'find', player: true, program: ['admin/demo.ts'] },
  test: {
    system: ['ffmpeg', 'chromium', 'postgresql', 'python', 'nginx', 'caddy', 'coturn', 'iproute'],
    worker: 'find',
    player: true,
    program: [VITEST, 'run'],
  },
  'test:fast': { system: [], worker: 'none', player: false, program: [VITEST, 'run', '--project', 'unit'] },
  bench: { system: ['ffmpeg'], worker: 'find', player: true, program: ['bench/run.ts'] },
  campaign: {
    system: ['ffmpeg', 'chromium', 'postgresql'],
    worker: 'find',
    player: true,
    program: ['tools/campaign.ts'],
  },
  fuzz: { system: [], worker: 'none', player: false, program: ['tools/fuzz.ts'] },
  'worker:build': { system: [], worker: 'build', player: false, program: null },
  // What .ci/run does first.
  prepare: {
    system: ['ffmpeg', 'chromium', 'postgresql', 'python', 'nginx', 'caddy', 'coturn', 'iproute'],
    worker: 'find',
    player: true,
    program: null,
  },
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * @param {Command} command
 * @returns {Promise<NodeJS.ProcessEnv>} the program's environment
 */
async function setUp(command) {
  const env = {
    ...process.env,
    PATH: [join(root, 'node_modules', '.bin'), process.env['PATH'] ?? ''].join(delimiter),
  };
  await installSystemPackages(missingPackages(command.system, process.env), '[1/4]');
  await installPackages(root, '[2/4]');
  if (command.worker === 'build') say(`built ${await buildWorker(root, '[3/4]')}`);
  if (command.worker === 'find') {
    const worker = await obtainWorker(root, '[3/4]');
    if (worker.origin === 'prebuilt') say(PREBUILT_WARNING);
    Object.assign(env, { MEDIASOUP_WORKER_BIN: worker.file, USHER_WORKER_ORIGIN: worker.origin });
  }
  if (command.player) await buildPlayer(root, '[4/4]');
  return env;
}

async function main() {
  const [name = '', ...args] = process.argv.slice(2);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined)
    throw new SetUpError(`usage: bootstrap.mjs ${Object.keys(COMMANDS).join('|')} [ARGUMENT...]`);
  if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
    throw new SetUpError(`Node ${OLDEST_NODE} or later is needed; this is ${process.versions.node}`);
  }
  handleSignals();
  const env = await withLock(join(root, '.cache', 'bootstrap.lock'), () => setUp(command));
  if (command.program === null) return 0;
  const preload = pathToFileURL(join(root, 'tools', 'bootstrap', 'child.mjs')).href;
  return runProgram(nodeBinary(root), ['--import', preload, ...command.program, ...args], { cwd: root, env });
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof SetUpError)) throw error;
  say(`media-usher: ${error.message}`);
  process.exitCode = 1;
}
