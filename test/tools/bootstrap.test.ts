import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isStale, startTime, withLock } from '../../tools/bootstrap/lock.mjs';
import { installStamp, isInstalled, npmEnvironment } from '../../tools/bootstrap/packages.mjs';
import { playerIsBuilt, playerStamp } from '../../tools/bootstrap/player.mjs';
import { runStep } from '../../tools/bootstrap/processes.mjs';
import { findPython, missingLine, missingPackages, whyNoApt } from '../../tools/bootstrap/system.mjs';
import {
  cacheFolder,
  firstThatStarts,
  prebuiltUrl,
  workerCandidates,
} from '../../tools/bootstrap/worker.mjs';

const ROOT = dirname(dirname(import.meta.dirname));
const BOOTSTRAP = join(ROOT, 'tools', 'bootstrap.mjs');

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'usher-bootstrap-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A file, its folders made as needed. */
function put(path: string, content: string, mode = 0o644): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  chmodSync(file, mode);
  return file;
}

const fakeWorker = (path: string, status: number) => put(path, `#!/bin/sh\nexit ${status}\n`, 0o755);

describe('the install stamp', () => {
  const pkg = { name: 'x', scripts: { a: 'b' }, dependencies: { zod: '^4.0.0' } };
  const stampOf = (manifest: object, lock: string) => {
    put('package.json', JSON.stringify(manifest));
    put('package-lock.json', lock);
    return installStamp(folder);
  };

  test.each([
    ['stays when only a script changes', { ...pkg, scripts: { a: 'c' } }, '{}', true],
    ['changes with a dependency', { ...pkg, dependencies: { zod: '^5.0.0' } }, '{}', false],
    ['changes with the lock file', pkg, '{ }', false],
  ])('%s', (_, manifest, lock, same) => {
    expect(stampOf(manifest, lock) === stampOf(pkg, '{}')).toBe(same);
  });

  test('counts only with a Node that runs', () => {
    const stamp = stampOf(pkg, '{}');
    put('node_modules/.usher-bootstrap', `${stamp}\n`);
    expect(isInstalled(folder)).toBe(false);
    put('node_modules/node/bin/node', '#!/bin/sh\nexit 0\n', 0o755);
    expect(isInstalled(folder)).toBe(true);
    put('node_modules/.usher-bootstrap', 'another\n');
    expect(isInstalled(folder)).toBe(false);
  });

  test("npm does not run on the clone's own Node", () => {
    const env = npmEnvironment({ PATH: `/clone/node_modules/.bin:/usr/bin:/bin`, A: '1' }, '/clone');
    expect(env).toEqual({ PATH: '/usr/bin:/bin', A: '1' });
  });
});

describe('system packages', () => {
  test('are missing unless their programs are in PATH', () => {
    for (const name of ['ffmpeg', 'chromium']) put(`bin/${name}`, '', 0o755);
    const env = { PATH: join(folder, 'bin') };
    expect(missingPackages(['ffmpeg', 'chromium'], env)).toEqual(['ffmpeg']);
    put('bin/ffprobe', '', 0o755);
    expect(missingPackages(['ffmpeg', 'chromium'], env)).toEqual([]);
  });

  test('Python is missing unless it has the package that the tests need', () => {
    put('bin/python3', '#!/bin/sh\nexit 1\n', 0o755);
    put('good/python3', '#!/bin/sh\nexit 0\n', 0o755);
    const found = (folders: string[]) =>
      findPython({ PATH: folders.map((name) => join(folder, name)).join(':') });
    expect(found(['bin', 'good'])).toBe(join(folder, 'good', 'python3'));
    expect(found(['bin'])).not.toBe(join(folder, 'bin', 'python3'));
  });

  test.each([
    ['root on Debian may use apt', { env: {}, uid: 0, debian: true }, null],
    [
      'unless it is forbidden',
      { env: { USHER_NO_APT: '1' }, uid: 0, debian: true },
      'USHER_NO_APT=1 forbids apt',
    ],
    ['others may not', { env: {}, uid: 1000, debian: true }, 'only root can install them'],
    ['other systems have none', { env: {}, uid: 0, debian: false }, 'this is not Debian'],
  ])('%s', (_, situation, reason) => {
    expect(whyNoApt(situation)).toBe(reason);
  });

  test('that are missing are named in one line', () => {
    const line = missingLine(['ffmpeg', 'chromium'], 'only root can install them');
    expect(line).toMatch(/^missing system packages \(only root can install them\): ffmpeg chromium /);
    expect(line).not.toContain('\n');
  });
});

describe('the worker', () => {
  const lookUp = (env: NodeJS.ProcessEnv) =>
    workerCandidates({ env, cache: folder, version: '3.27.1', patchLevel: '7' });
  const key = `mediasoup-worker-3.27.1-${process.platform}-${process.arch}`;

  test('that is given is the only candidate', () => {
    expect(lookUp({ MEDIASOUP_WORKER_BIN: '/w' })).toEqual([{ origin: 'env', file: '/w' }]);
  });

  test('that was built here goes before the prebuilt one', () => {
    fakeWorker(`${key}-prebuilt/mediasoup-worker`, 41);
    expect(firstThatStarts(lookUp({}))?.origin).toBe('prebuilt');
    fakeWorker(`${key}-p7/mediasoup-worker`, 41);
    expect(firstThatStarts(lookUp({}))?.origin).toBe('built');
  });

  test('of another patch level is not used', () => {
    fakeWorker(`${key}-p6/mediasoup-worker`, 41);
    expect(firstThatStarts(lookUp({}))).toBeUndefined();
  });

  test('that does not start is passed over', () => {
    fakeWorker(`${key}-p7/mediasoup-worker`, 127);
    fakeWorker(`${key}-prebuilt/mediasoup-worker`, 41);
    expect(firstThatStarts(lookUp({}))?.origin).toBe('prebuilt');
  });

  test('that is given and does not start is an error', () => {
    const file = fakeWorker('given', 1);
    expect(() => firstThatStarts(lookUp({ MEDIASOUP_WORKER_BIN: file }))).toThrow('MEDIASOUP_WORKER_BIN');
  });

  test.each([
    [
      'XDG_CACHE_HOME',
      (base: string) => ({ XDG_CACHE_HOME: join(base, 'xdg'), HOME: base }),
      'xdg/media-usher',
    ],
    ['~/.cache', (base: string) => ({ HOME: base }), '.cache/media-usher'],
    [
      '~/.cache if XDG_CACHE_HOME is relative',
      (base: string) => ({ XDG_CACHE_HOME: 'x', HOME: base }),
      '.cache/media-usher',
    ],
    [
      'the clone if HOME is no folder',
      (base: string) => ({ HOME: put('file', '') && join(base, 'file') }),
      'clone/.cache/media-usher',
    ],
  ])('is kept in %s', (_, env, expected) => {
    expect(cacheFolder(join(folder, 'clone'), env(folder))).toBe(join(folder, expected));
  });

  test('is downloaded from where mediasoup would take it', () => {
    const mediasoup = { version: '3.27.1', repository: { url: 'git+https://code.example/o/mediasoup.git' } };
    expect(prebuiltUrl(mediasoup, {})).toMatch(
      /^https:\/\/code\.example\/o\/mediasoup\/releases\/download\/3\.27\.1\/mediasoup-worker-3\.27\.1-[a-z0-9-]+\.tgz$/,
    );
  });

  test('patches and shims change only with the patch level', () => {
    // If this fails: raise tools/mediasoup-worker/PATCH_LEVEL, so that cached workers are built anew,
    // and put the new sum here.
    const base = join(ROOT, 'tools', 'mediasoup-worker');
    const { stdout } = spawnSync(
      'sh',
      ['-c', 'find patches shims -type f | LC_ALL=C sort | xargs sha256sum | sha256sum'],
      {
        cwd: base,
        encoding: 'utf8',
      },
    );
    const level = readFileSync(join(base, 'PATCH_LEVEL'), 'utf8').trim();
    expect(`${level} ${stdout.slice(0, 16)}`).toBe('1 107f55f39542c919');
  });
});

describe('the download of the worker', () => {
  /** A tar archive of one file (POSIX ustar). */
  function tar(name: string, content: Buffer): Buffer {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write('0000755\0', 100);
    header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
    header.write('0', 156);
    return Buffer.concat([header, content, Buffer.alloc(1024 - (content.length % 512))]);
  }

  async function download(status: number, body: Buffer) {
    const server = createServer((_, response) => response.writeHead(status).end(body)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const file = join(folder, 'cache', 'mediasoup-worker');
    const program = join(ROOT, 'tools', 'bootstrap', 'download-worker.mjs');
    const child = spawn(process.execPath, [program, `http://127.0.0.1:${port}/w.tgz`, file]);
    let complaint = '';
    child.stderr.on('data', (text: Buffer) => (complaint += text.toString()));
    const [code] = (await once(child, 'close')) as [number];
    server.close();
    return { code, complaint, file };
  }

  const script = Buffer.from('#!/bin/sh\nexit 41\n');

  test('unpacks an executable', async () => {
    const { code, file } = await download(200, gzipSync(tar('mediasoup-worker', script)));
    expect(code).toBe(0);
    expect(spawnSync(file).status).toBe(41);
  });

  test.each([
    ['an error status', 404, gzipSync(tar('mediasoup-worker', script)), 'the server answers 404'],
    ['another file', 200, gzipSync(tar('other', script)), 'the archive has no mediasoup-worker'],
    [
      'a cut archive',
      200,
      gzipSync(tar('mediasoup-worker', Buffer.alloc(4096)).subarray(0, 1024)),
      'cut short',
    ],
    ['no archive', 200, Buffer.from('hello'), 'incorrect header check'],
  ])('refuses %s', async (_, status, body, complaint) => {
    const result = await download(status, body);
    expect(result.code).toBe(1);
    expect(result.complaint).toContain(complaint);
    expect(existsSync(result.file)).toBe(false);
  });
});

describe('the lock', () => {
  const dead = () => spawnSync('true').pid;

  test.each([
    ['a living process', () => `${process.pid} ${startTime(process.pid)}`, false],
    ['a dead process', () => `${dead()} 1`, true],
    ['an earlier process with the same id', () => `${process.pid} 1`, true],
    ['nobody', () => '', true],
    ['rubbish', () => '-1 x', true],
  ])('of %s: stale or not', (_, content, stale) => {
    expect(isStale(content())).toBe(stale);
  });

  test('lets one in at a time', async () => {
    const file = join(folder, 'lock');
    let inside = 0;
    let most = 0;
    const work = async () => {
      inside += 1;
      most = Math.max(most, inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside -= 1;
    };
    await Promise.all([withLock(file, work), withLock(file, work), withLock(file, work)]);
    expect(most).toBe(1);
    expect(existsSync(file)).toBe(false);
  });

  test('of a dead process is taken over', async () => {
    const file = put('lock', `${dead()} 1\n`);
    expect(await withLock(file, async () => 'done')).toBe('done');
  });

  test('is released when the work fails', async () => {
    const file = join(folder, 'lock');
    await expect(withLock(file, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(existsSync(file)).toBe(false);
  });
});

describe("the player's bundle", () => {
  test('is built anew when a source changes', () => {
    put('package-lock.json', '{}');
    put('player-demo/src/a.ts', '1');
    put('player-demo/dist/a.js', '1');
    expect(playerIsBuilt(folder)).toBe(false);
    put('.cache/player-bundle', playerStamp(folder));
    expect(playerIsBuilt(folder)).toBe(true);
    put('player-demo/dist/a.js', '2');
    expect(playerIsBuilt(folder)).toBe(true);
    put('player-demo/src/a.ts', '2');
    expect(playerIsBuilt(folder)).toBe(false);
  });
});

describe('a step of the set-up', () => {
  test.each([
    ['fails with the end of its output', 'echo one; echo two >&2; exit 3', 'exit status 3\none\ntwo'],
    ['is killed, with all that it started, at its time limit', 'sleep 60 & wait', 'not done after 0.2 s'],
  ])('%s', async (_, script, message) => {
    await expect(
      runStep('sh', ['-c', script], { timeoutMs: script.includes('sleep') ? 200 : 10_000 }),
    ).rejects.toThrow(message);
  });

  test('that cannot be started says so', async () => {
    await expect(runStep(join(folder, 'absent'), [])).rejects.toThrow('cannot be started');
  });
});

describe('the bootstrap as a program', () => {
  const run = (args: string[], env: NodeJS.ProcessEnv) =>
    spawnSync(process.execPath, [BOOTSTRAP, ...args], { env, encoding: 'utf8' });

  test('names what is missing in one line and exits with 1', () => {
    const { status, stdout, stderr } = run(['start'], { PATH: folder, USHER_NO_APT: '1' });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(
      /^media-usher: missing system packages \(USHER_NO_APT=1 forbids apt\): ffmpeg [^\n]*\n$/,
    );
  });

  test('refuses an unknown command', () => {
    const { status, stderr } = run(['nonsense'], {});
    expect(status).toBe(1);
    expect(stderr).toContain('usage: bootstrap.mjs');
  });
});

describe('a program started by the bootstrap', () => {
  const preload = join(ROOT, 'tools', 'bootstrap', 'child.mjs');
  const start = (program: string) =>
    spawn(process.execPath, ['--import', preload, '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });

  test('ends in order although the signal comes twice', async () => {
    const child = start(`
      const alive = setInterval(() => {}, 1000);
      process.once('SIGUSR2', () => process.exit(7));
      process.once('SIGINT', () => console.log('stopping'));
      console.log('ready');`);
    const closed = once(child, 'close');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    child.kill('SIGUSR2');
    expect(await closed).toEqual([7, null]);
  });

  test('that listens to no signal ends at the first', async () => {
    const child = start(`setInterval(() => {}, 1000); console.log('ready');`);
    await once(child.stdout, 'data');
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([143, null]);
  });

  test('ends when its bootstrap is killed', async () => {
    const program = `setInterval(() => {}, 1000); console.log(process.pid);`;
    const parent = spawn(
      process.execPath,
      [
        '--eval',
        `require('node:child_process').spawn(process.execPath, ['--import', ${JSON.stringify(preload)}, '--eval', ${JSON.stringify(program)}], { stdio: 'inherit' })`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [pid] = (await once(parent.stdout, 'data')) as [Buffer];
    expect(Number(pid.toString())).toBeGreaterThan(0);
    // The pipe closes when the last process that holds it has ended: the grandchild.
    const closed = once(parent, 'close');
    parent.kill('SIGKILL');
    await closed;
  });
});
