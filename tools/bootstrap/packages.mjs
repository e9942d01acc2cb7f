// @ts-check
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { withProgress } from './log.mjs';
import { runStep } from './processes.mjs';

/**
 * The packages whose install scripts are needed. Not among them is mediasoup: its script fetches or
 * compiles a worker, which is the business of worker.mjs.
 */
const REBUILT = ['node', 'argon2', 'esbuild'];

/** @param {string} root the clone */
export function nodeBinary(root) {
  return join(root, 'node_modules', 'node', 'bin', 'node');
}

/**
 * Stands for what should be installed: the lock file and what package.json asks for.
 *
 * @param {string} root
 */
export function installStamp(root) {
  const { dependencies, devDependencies, overrides } = JSON.parse(
    readFileSync(join(root, 'package.json'), 'utf8'),
  );
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .update(JSON.stringify([dependencies, devDependencies, overrides, process.platform, process.arch]))
    .digest('hex');
}

/** @param {string} root */
export function isInstalled(root) {
  try {
    const stamp = readFileSync(join(root, 'node_modules', '.usher-bootstrap'), 'utf8').trim();
    return stamp === installStamp(root) && runs(nodeBinary(root));
  } catch {
    return false;
  }
}

/**
 * Whether somebody else (`npm ci` or `npm install` by hand) has installed exactly what the lock file
 * says: npm keeps a lock file of what it has installed.
 *
 * @param {string} root
 */
export function isInstalledByHand(root) {
  try {
    const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
    const found = JSON.parse(readFileSync(join(root, 'node_modules', '.package-lock.json'), 'utf8')).packages;
    for (const [path, { version, integrity, optional, devOptional }] of Object.entries(wanted)) {
      if (path === '' || (found[path] === undefined && (optional || devOptional))) continue;
      if (found[path]?.version !== version || found[path]?.integrity !== integrity) return false;
    }
    return runs(nodeBinary(root)) && runs(join(root, 'node_modules', 'esbuild', 'bin', 'esbuild'));
  } catch {
    return false;
  }
}

/** @param {string} binary */
function runs(binary) {
  return spawnSync(binary, ['--version'], { stdio: 'ignore' }).status === 0;
}

/**
 * npm's environment without the clone's own node_modules in PATH: npm must not run on the very Node
 * that it is about to replace.
 *
 * @param {NodeJS.ProcessEnv} env
 * @param {string} root
 */
export function npmEnvironment(env, root) {
  const inside = join(root, 'node_modules');
  const path = (env['PATH'] ?? '').split(delimiter).filter((folder) => !folder.startsWith(inside));
  return { ...env, PATH: path.join(delimiter) };
}

/**
 * Installs the npm packages unless they are there.
 *
 * @param {string} root
 * @param {string} label for example `[2/5]`
 */
export async function installPackages(root, label) {
  if (isInstalled(root)) return;
  if (!isInstalledByHand(root)) {
    const options = { cwd: root, env: npmEnvironment(process.env, root) };
    await withProgress(`${label} installing packages`, () =>
      runStep('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], options),
    );
    await withProgress(`${label} preparing ${REBUILT.join(', ')}`, () =>
      runStep('npm', ['rebuild', ...REBUILT], options),
    );
  }
  writeFileSync(join(root, 'node_modules', '.usher-bootstrap'), `${installStamp(root)}\n`);
}
