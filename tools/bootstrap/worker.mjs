// @ts-check
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync } from 'node:fs';
import { homedir, release } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { withLock } from './lock.mjs';
import { say, SetUpError, withProgress } from './log.mjs';
import { nodeBinary } from './packages.mjs';
import { runStep } from './processes.mjs';
import { installSystemPackages, isDebian, missingDebianPackages } from './system.mjs';

/**
 * env: by MEDIASOUP_WORKER_BIN. built: here, by tools/mediasoup-worker, patched. prebuilt: downloaded
 * from mediasoup's release page; its random strings come from a Mersenne Twister.
 *
 * @typedef {'env' | 'built' | 'prebuilt'} Origin
 * @typedef {{ origin: Origin, file: string }} Worker
 */

const DOWNLOAD_LIMIT_MS = 20_000;
/** A sound worker that is run without mediasoup's environment exits with this (its main.cpp). */
const BARE_RUN_STATUS = 41;

export const PREBUILT_WARNING =
  "warning: this is mediasoup's own prebuilt worker, which draws ICE and SRTP secrets from a Mersenne Twister: " +
  'fine for a try, not for production. `npm run worker:build` makes one that does not.';

/** @param {string} root */
function mediasoupPackage(root) {
  return JSON.parse(readFileSync(join(root, 'node_modules', 'mediasoup', 'package.json'), 'utf8'));
}

/** @param {string} root */
function patchLevel(root) {
  return readFileSync(join(root, 'tools', 'mediasoup-worker', 'PATCH_LEVEL'), 'utf8').trim();
}

/**
 * The user's cache folder, or the clone's if that cannot be written.
 *
 * @param {string} root
 * @param {NodeJS.ProcessEnv} env
 */
export function cacheFolder(root, env) {
  const asked = env['XDG_CACHE_HOME'];
  // XDG Base Directory Specification: a relative path is to be ignored.
  const user = asked !== undefined && isAbsolute(asked) ? asked : join(env['HOME'] ?? homedir(), '.cache');
  const folder = join(user, 'media-usher');
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return folder;
  } catch {
    return join(root, '.cache', 'media-usher');
  }
}

/**
 * Where a worker may be, in the order of preference.
 *
 * @param {{ env: NodeJS.ProcessEnv, cache: string, version: string, patchLevel: string }} options
 * @returns {Worker[]}
 */
export function workerCandidates({ env, cache, version, patchLevel }) {
  const given = env['MEDIASOUP_WORKER_BIN'];
  if (given !== undefined && given !== '') return [{ origin: 'env', file: given }];
  const key = `mediasoup-worker-${version}-${process.platform}-${process.arch}`;
  return [
    { origin: 'built', file: join(cache, `${key}-p${patchLevel}`, 'mediasoup-worker') },
    { origin: 'prebuilt', file: join(cache, `${key}-prebuilt`, 'mediasoup-worker') },
  ];
}

/** @param {string} file */
export function workerStarts(file) {
  return spawnSync(file, { env: {}, stdio: 'ignore', timeout: 10_000 }).status === BARE_RUN_STATUS;
}

/**
 * The first candidate that starts.
 *
 * @param {readonly Worker[]} candidates
 * @returns {Worker | undefined}
 * @throws {SetUpError} when the one that was given does not start
 */
export function firstThatStarts(candidates) {
  const found = candidates.find(({ file }) => workerStarts(file));
  const [first] = candidates;
  if (found === undefined && first?.origin === 'env') {
    throw new SetUpError(`MEDIASOUP_WORKER_BIN is not a mediasoup worker that starts here: ${first.file}`);
  }
  return found;
}

/**
 * The address that mediasoup's own install script fetches its worker from.
 *
 * @param {{ version: string, repository: { url: string } }} mediasoup its package.json
 * @param {NodeJS.ProcessEnv} env
 */
export function prebuiltUrl({ version, repository }, env) {
  const base =
    env['MEDIASOUP_WORKER_PREBUILT_DOWNLOAD_BASE_URL'] ??
    `${repository.url.replace(/^git\+/, '').replace(/\.git$/, '')}/releases/download`;
  const kernel = process.platform === 'linux' ? `-kernel${release().split('.')[0]}` : '';
  return `${base}/${version}/mediasoup-worker-${version}-${process.platform}-${process.arch}${kernel}.tgz`;
}

/** @param {string} root @returns {{ candidates: Worker[], cache: string }} */
function lookUp(root) {
  const cache = cacheFolder(root, process.env);
  const { version } = mediasoupPackage(root);
  return {
    cache,
    candidates: workerCandidates({ env: process.env, cache, version, patchLevel: patchLevel(root) }),
  };
}

/**
 * A worker that starts, made if there is none.
 *
 * @param {string} root
 * @param {string} label
 * @returns {Promise<Worker>}
 */
export async function obtainWorker(root, label) {
  const { cache, candidates } = lookUp(root);
  const found = firstThatStarts(candidates);
  if (found !== undefined) return found;
  // Clones share the cache.
  return withLock(join(cache, 'worker.lock'), async () => {
    const meanwhile = firstThatStarts(candidates);
    if (meanwhile !== undefined) return meanwhile;
    const [built, prebuilt] = candidates;
    if (built === undefined || prebuilt === undefined) throw new SetUpError('no place for a worker');
    if (await downloadWorker(root, prebuilt.file, label)) return prebuilt;
    await buildInto(root, built.file, label);
    return built;
  });
}

/**
 * Builds the worker even if there is one, and gives its file.
 *
 * @param {string} root
 * @param {string} label
 */
export async function buildWorker(root, label) {
  const cache = cacheFolder(root, process.env);
  const { version } = mediasoupPackage(root);
  const [built] = workerCandidates({ env: {}, cache, version, patchLevel: patchLevel(root) });
  if (built === undefined) throw new SetUpError('no place for a worker');
  await withLock(join(cache, 'worker.lock'), () => buildInto(root, built.file, label));
  return built.file;
}

/** @param {string} root @param {string} file @param {string} label */
async function downloadWorker(root, file, label) {
  if (process.env['MEDIASOUP_SKIP_WORKER_PREBUILT_DOWNLOAD']) return false;
  const program = join(root, 'tools', 'bootstrap', 'download-worker.mjs');
  const url = prebuiltUrl(mediasoupPackage(root), process.env);
  try {
    await withProgress(`${label} downloading mediasoup's prebuilt worker (20 s at most)`, () =>
      runStep(nodeBinary(root), [program, url, file], {
        // So that the proxy of a company network is used.
        env: { ...process.env, NODE_USE_ENV_PROXY: '1' },
        timeoutMs: DOWNLOAD_LIMIT_MS,
      }),
    );
  } catch (error) {
    const lines = error instanceof SetUpError ? error.message.split('\n') : [String(error)];
    say(`${label} no prebuilt worker: ${lines.at(-1)}`);
    return false;
  }
  return workerStarts(file);
}

/** @param {string} root @param {string} file @param {string} label */
async function buildInto(root, file, label) {
  if (!isDebian(process.env)) {
    throw new SetUpError(
      'no mediasoup worker: it could not be downloaded, and building one needs Debian; set MEDIASOUP_WORKER_BIN to a worker',
    );
  }
  const folder = join(root, 'tools', 'mediasoup-worker');
  await installSystemPackages(missingDebianPackages(join(folder, 'debian-packages')), label);
  say(`${label} building mediasoup's worker, once for this user and version`);
  await runStep('bash', [join(folder, 'build.sh'), file], {
    show: true,
    env: { ...process.env, NODE: nodeBinary(root), MEDIASOUP_DIR: join(root, 'node_modules', 'mediasoup') },
  });
}
