/** The guard on each minor version of node-media-server that it says it knows, and on one that it does not. */
import { fork } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test, type TestContext } from 'vitest';
import { COLUMNS } from '../../../support/flv-readers.ts';
import type { VersionReport } from './version-child.ts';

const PACKAGES = fileURLToPath(new URL('../../../../node_modules/', import.meta.url));
const CHILD = new URL('version-child.ts', import.meta.url).href;
const CHILD_WITHIN_MS = 60_000;

/** A directory from which `node-media-server` is found, and a program in it. */
async function createProject(
  { onTestFinished }: TestContext,
  install: (packages: string) => Promise<void>,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'usher-nms-version-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await mkdir(join(directory, 'node_modules'));
  await install(join(directory, 'node_modules'));
  const main = join(directory, 'main.mjs');
  await writeFile(main, `await import(${JSON.stringify(CHILD)});\n`);
  return main;
}

function run<T>(main: string, ...args: string[]): Promise<T> {
  const child = fork(main, args, { cwd: dirname(main), stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const timer = setTimeout(() => child.kill('SIGKILL'), CHILD_WITHIN_MS);
  return new Promise((resolve, reject) => {
    child.on('message', (report) => resolve(report as T));
    child.on('exit', (code) => {
      clearTimeout(timer);
      reject(new Error(`ended with ${String(code)}\n${errors}`));
    });
  });
}

test.concurrent.for([
  ['4.0.21', 'node-media-server-4.0'],
  ['4.1.0', 'node-media-server-4.1'],
  ['4.2.8', 'node-media-server-4.2'],
  ['4.3.2', 'node-media-server-4.3'],
  ['4.4.3', 'node-media-server'],
] as const)(
  'node-media-server %s is guarded on every protocol, records, and relays where it can',
  async ([version, name], context) => {
    const { expect } = context;
    const main = await createProject(context, (packages) =>
      symlink(join(PACKAGES, name), join(packages, 'node-media-server')),
    );
    const report = await run<VersionReport>(main);
    expect(report.version).toBe(version);
    expect(report.refused).toEqual({
      ...Object.fromEntries(COLUMNS.map((column) => [column, 'ticket_missing'])),
      'publish rtmp': 'stream_key_invalid',
      'publish http-flv': 'stream_key_invalid',
    });
    expect(report.played).toEqual(COLUMNS);
    expect(report.endReasons).toEqual(COLUMNS.map(() => 'expired'));
    for (const [column, ms] of Object.entries(report.lateMs)) expect(ms, column).toBeLessThan(1000);
    expect(report.recordedPictures).toBeGreaterThan(30);
    expect(report.relayed).toBe(version < '4.3' ? null : true);
    expect(report.goesOn).toBe(true);
    expect(report.enhanced).toEqual(['audio-head', 'video-head', 'keyframe']);
    // One publisher, who came twice, and a player on each protocol.
    expect(report.hostEvents[0]).toBe('0 of the refused');
    expect(report.hostEvents.filter((event) => event.startsWith('postPublish'))).toHaveLength(2);
    expect(report.hostEvents.filter((event) => event.startsWith('postPlay')).length).toBeGreaterThanOrEqual(
      COLUMNS.length,
    );
  },
);

test.concurrent.for(['4.0.20', '4.5.0', '5.0.0'])(
  'node-media-server %s is refused with a clear error, unless it is forced',
  async (version, context) => {
    const { expect } = context;
    const main = await createProject(context, async (packages) => {
      const from = join(PACKAGES, 'node-media-server');
      const to = join(packages, 'node-media-server');
      await cp(join(from, 'src'), join(to, 'src'), { recursive: true });
      const manifest = JSON.parse(await readFile(join(from, 'package.json'), 'utf8')) as {
        dependencies: Record<string, string>;
      };
      await writeFile(join(to, 'package.json'), JSON.stringify({ ...manifest, version }));
      for (const dependency of Object.keys(manifest.dependencies)) {
        await symlink(join(PACKAGES, dependency), join(packages, dependency));
      }
    });
    const { refusedWith, forced } = await run<{ refusedWith: string; forced: boolean }>(main, 'unknown');
    expect(refusedWith).toContain(
      `node-media-server ${version} is not among the tested versions (>=4.0.21 <4.5); allowUntestedVersion goes on with it`,
    );
    expect(forced).toBe(true);
  },
);
