/**
 * Checks the npm package as its users get it: builds and packs it, lints the tarball, then installs it
 * into an empty project, without the optional peers, and imports it there.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { ROOT, run } from './run.ts';

/** Importable without mediasoup and node-media-server. */
const IMPORTED = [
  'media-usher',
  'media-usher/ticket',
  'media-usher/rtp',
  'media-usher/srtp',
  'media-usher/mikey',
];
/** Packages that may bring an install script; each has a check below that it did nothing. */
const MAY_HAVE_SCRIPTS = ['argon2'];

const InstalledPackages = z.object({
  packages: z.record(z.string(), z.object({ hasInstallScript: z.boolean().optional() })),
});

const folder = mkdtempSync(join(tmpdir(), 'usher-package-'));
try {
  step('build', () => run('node', ['tools/build.ts']));
  const tarball = step('pack', pack);
  step('publint', () => run('publint', ['run', tarball, '--strict']));
  step('attw', () => run('attw', [tarball, '--profile', 'esm-only', '--no-emoji']));
  const project = step('install', () => install(tarball));
  step('nothing was built or downloaded', () => checkInstalled(project));
  step('import', () => checkImports(project));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function step<T>(name: string, work: () => T): T {
  const startMs = performance.now();
  const result = work();
  console.log(`package: ${name} (${((performance.now() - startMs) / 1000).toFixed(1)} s)`);
  return result;
}

function pack(): string {
  const output = run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', folder]);
  const [packed] = z.array(z.object({ filename: z.string() })).parse(JSON.parse(output));
  if (packed === undefined) throw new Error('npm pack made nothing');
  return join(folder, packed.filename);
}

function install(tarball: string): string {
  const project = join(folder, 'project');
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true, "type": "module" }\n');
  run('npm', ['install', '--no-audit', '--no-fund', tarball], { cwd: project });
  return project;
}

function checkInstalled(project: string): void {
  const modules = join(project, 'node_modules');
  for (const name of ['mediasoup', 'node-media-server', 'node', 'esbuild']) {
    if (existsSync(join(modules, name)))
      throw new Error(`${name} was installed although nobody asked for it`);
  }
  const { packages } = InstalledPackages.parse(
    JSON.parse(readFileSync(join(modules, '.package-lock.json'), 'utf8')),
  );
  for (const [path, { hasInstallScript }] of Object.entries(packages)) {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    if (hasInstallScript === true && !MAY_HAVE_SCRIPTS.includes(name)) {
      throw new Error(`${name} has an install script`);
    }
  }
  if (existsSync(join(modules, 'argon2', 'build'))) throw new Error('argon2 was compiled');
}

function checkImports(project: string): void {
  for (const name of IMPORTED) {
    const program = `const m = await import(${JSON.stringify(name)}); if (Object.keys(m).length === 0) process.exit(1)`;
    run('node', ['--input-type=module', '--eval', program], { cwd: project, timeoutMs: 30_000 });
  }
  // argon2's prebuilt binary works.
  const hash = 'const { hash } = await import("argon2"); await hash("insecure-test-password")';
  run('node', ['--input-type=module', '--eval', hash], { cwd: project, timeoutMs: 30_000 });
}

if (!existsSync(join(ROOT, 'dist'))) throw new Error('the build left no dist/');
