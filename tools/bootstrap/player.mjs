// @ts-check
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { withProgress } from './log.mjs';
import { nodeBinary } from './packages.mjs';
import { runStep } from './processes.mjs';

/**
 * Stands for all that goes into the player's bundle: its sources and the installed packages.
 *
 * @param {string} root
 */
export function playerStamp(root) {
  const hash = createHash('sha256').update(readFileSync(join(root, 'package-lock.json')));
  for (const file of sourceFiles(join(root, 'player-demo'))) {
    const content = readFileSync(file);
    hash.update(`${relative(root, file)}\0${content.length}\0`).update(content);
  }
  return hash.digest('hex');
}

/** @param {string} folder @returns {string[]} sorted, without dist */
function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => name !== 'dist')
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.isDirectory() ? sourceFiles(path) : [path];
    });
}

/** @param {string} root */
export function playerIsBuilt(root) {
  try {
    const stamp = readFileSync(join(root, '.cache', 'player-bundle'), 'utf8').trim();
    return readdirSync(join(root, 'player-demo', 'dist')).length > 0 && stamp === playerStamp(root);
  } catch {
    return false;
  }
}

/** @param {string} root @param {string} label */
export async function buildPlayer(root, label) {
  if (playerIsBuilt(root)) return;
  const stamp = playerStamp(root);
  await withProgress(`${label} building the player`, () =>
    runStep(nodeBinary(root), [join(root, 'player-demo', 'build.ts')], { cwd: root }),
  );
  const file = join(root, '.cache', 'player-bundle');
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${stamp}\n`);
}
