// @ts-check
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { SetUpError } from './log.mjs';

/** @typedef {'SIGINT' | 'SIGTERM' | 'SIGHUP'} StopSignal */
/** @type {StopSignal[]} */
export const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

const TAIL_LINES = 20;
const MAX_KEPT_CHARACTERS = 100_000;

/** What has to be told of a signal; each entry delivers it to one child. @type {Set<(signal: StopSignal) => void>} */
const receivers = new Set();
let interruptedStatus = 0;

/** The exit status of a program ended by a signal, as shells give it. @param {NodeJS.Signals} signal */
export function statusOfSignal(signal) {
  return 128 + constants.signals[signal];
}

/** Passes signals on to the children and leaves only when they have left. */
export function handleSignals() {
  for (const signal of STOP_SIGNALS) {
    process.on(signal, () => stop(signal));
  }
  // npm starts scripts through a shell; one that dies of a signal without passing it on would leave
  // this process, and all below it, behind.
  if (process.env['npm_lifecycle_event'] !== undefined) whenOrphaned(() => stop('SIGTERM'));
}

/** @param {StopSignal} signal */
function stop(signal) {
  interruptedStatus = statusOfSignal(signal);
  if (receivers.size === 0) process.exit(interruptedStatus);
  for (const deliver of receivers) deliver(signal);
}

/** Calls back once, within a second of the parent process's end. @param {() => void} callback */
export function whenOrphaned(callback) {
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    callback();
  }, 1000);
  timer.unref();
}

/**
 * Runs a set-up command in a process group of its own, so that a signal reaches all of it.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, show?: boolean, timeoutMs?: number }} [options]
 *   show: its stderr is shown as it comes; otherwise its output is kept for the error message
 * @throws {SetUpError} when it cannot be started, fails or takes too long
 */
export function runStep(command, args, { cwd, env, show = false, timeoutMs } = {}) {
  const name = [command, ...args].join(' ');
  return /** @type {Promise<void>} */ (
    new Promise((resolve, reject) => {
      const child = spawn(command, args, {
        cwd,
        env: env ?? process.env,
        detached: true,
        stdio: ['ignore', show ? 'inherit' : 'pipe', show ? 'inherit' : 'pipe'],
      });
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream?.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
          output = (output + text).slice(-MAX_KEPT_CHARACTERS);
        });
      }
      /** @param {NodeJS.Signals} signal */
      const deliver = (signal) => {
        if (child.pid === undefined || child.exitCode !== null) return;
        try {
          process.kill(-child.pid, signal);
        } catch {
          // It has just ended.
        }
      };
      receivers.add(deliver);
      let timedOut = false;
      const onTimeout = () => {
        timedOut = true;
        deliver('SIGKILL');
      };
      const timer = timeoutMs === undefined ? undefined : setTimeout(onTimeout, timeoutMs);
      child.on('error', (error) => {
        receivers.delete(deliver);
        clearTimeout(timer);
        reject(new SetUpError(`${command} cannot be started: ${error.message}`));
      });
      child.on('close', (code, signal) => {
        receivers.delete(deliver);
        clearTimeout(timer);
        if (interruptedStatus !== 0) process.exit(interruptedStatus);
        if (code === 0) return resolve();
        if (timedOut) return reject(new SetUpError(`not done after ${Number(timeoutMs) / 1000} s`));
        const tail = output.trimEnd().split('\n').slice(-TAIL_LINES).join('\n');
        const how = signal === null ? `exit status ${code}` : `ended by ${signal}`;
        reject(new SetUpError(`${name}: ${how}${tail === '' ? '' : `\n${tail}`}`));
      });
    })
  );
}

/**
 * Runs the program that all this was for, on this terminal and in this process group, and gives its
 * exit status.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ cwd: string, env: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>}
 */
export function runProgram(command, args, { cwd, env }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, stdio: 'inherit' });
    /** @param {StopSignal} signal */
    const deliver = (signal) => void child.kill(signal);
    receivers.add(deliver);
    child.on('error', (error) => reject(new SetUpError(`${command} cannot be started: ${error.message}`)));
    child.on('close', (code, signal) => {
      receivers.delete(deliver);
      resolve(signal === null ? (code ?? 1) : statusOfSignal(signal));
    });
  });
}
