// @ts-check
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './log.mjs';

const RETRY_MS = 200;

/**
 * When a process started, in the kernel's ticks: tells a process from a later one with the same id.
 * Empty where there is no /proc.
 *
 * @param {number} pid
 */
export function startTime(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // proc(5): field 22, counted after the command name, which is in parentheses and may hold spaces.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/**
 * Whether the process that wrote a lock is gone. A lock is written in one step, so that one that can't
 * be read is no half-written one but rubbish.
 *
 * @param {string} content `PID START_TIME`
 */
export function isStale(content) {
  const [pidText, started = ''] = content.trim().split(' ');
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 0) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it lives, under another user.
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EPERM') return true;
  }
  return startTime(pid) !== started;
}

/**
 * Does the work while holding a lock file. Waits while another living process holds it; takes over from
 * a dead one.
 *
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withLock(file, work) {
  mkdirSync(dirname(file), { recursive: true });
  let waiting = false;
  while (!tryLock(file)) {
    if (!waiting) say(`waiting for another set-up, which holds ${file}`);
    waiting = true;
    await sleep(RETRY_MS);
  }
  const release = () => rmSync(file, { force: true });
  process.on('exit', release);
  try {
    return await work();
  } finally {
    release();
    process.off('exit', release);
  }
}

/**
 * @param {string} file
 * @returns {boolean} whether this process now holds the lock
 */
function tryLock(file) {
  const own = `${file}.${randomUUID()}`;
  writeFileSync(own, `${process.pid} ${startTime(process.pid)}\n`);
  try {
    // Unlike creating a file and writing to it, a link appears with its content.
    linkSync(own, file);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    if (!removeIfStale(file)) return false;
  } finally {
    rmSync(own, { force: true });
  }
  return tryLock(file);
}

/**
 * @param {string} file
 * @returns {boolean} whether trying again at once makes sense
 */
function removeIfStale(file) {
  try {
    if (!isStale(readFileSync(file, 'utf8'))) return false;
    // Of several that see the same stale lock, one wins this rename. What it has taken away may by now
    // be the fresh lock of another: that one goes back.
    const taken = `${file}.${randomUUID()}`;
    renameSync(file, taken);
    try {
      if (!isStale(readFileSync(taken, 'utf8'))) linkSync(taken, file);
    } finally {
      rmSync(taken, { force: true });
    }
    return true;
  } catch (error) {
    const { code } = /** @type {NodeJS.ErrnoException} */ (error);
    if (code !== 'ENOENT' && code !== 'EEXIST') throw error;
    return code === 'ENOENT';
  }
}
