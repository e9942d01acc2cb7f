// @ts-check
import { spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { say, SetUpError, withProgress } from './log.mjs';
import { runStep } from './processes.mjs';

/**
 * A program that npm cannot install.
 *
 * @typedef {object} Requirement
 * @property {string} debianPackage
 * @property {(env: NodeJS.ProcessEnv) => boolean} isPresent
 */

/** @typedef {'ffmpeg' | 'chromium' | 'postgresql' | 'python' | 'nginx' | 'caddy' | 'coturn' | 'iproute'} RequirementName */

/** @type {Record<RequirementName, Requirement>} */
export const REQUIREMENTS = {
  ffmpeg: { debianPackage: 'ffmpeg', isPresent: (env) => onPath('ffmpeg', env) && onPath('ffprobe', env) },
  chromium: {
    debianPackage: 'chromium',
    isPresent: (env) => ['chromium', 'chromium-browser', 'google-chrome'].some((name) => onPath(name, env)),
  },
  postgresql: {
    debianPackage: 'postgresql',
    isPresent: (env) => onPath('initdb', env) || debianPostgres().length > 0,
  },
  python: { debianPackage: 'python3-cryptography', isPresent: (env) => findPython(env) !== null },
  nginx: {
    debianPackage: 'nginx',
    isPresent: (env) => onPath('nginx', env) || isExecutable('/usr/sbin/nginx'),
  },
  caddy: { debianPackage: 'caddy', isPresent: (env) => onPath('caddy', env) },
  coturn: { debianPackage: 'coturn', isPresent: (env) => onPath('turnserver', env) },
  iproute: {
    debianPackage: 'iproute2',
    isPresent: (env) => onPath('ip', env) || isExecutable('/usr/sbin/ip'),
  },
};

/** Where Debian's own Python is: another one in PATH does not see Debian's packages. */
const DEBIAN_PYTHON = '/usr/bin/python3';
const NEEDS_CRYPTOGRAPHY = 'from cryptography.hazmat.primitives.asymmetric import ed25519, x25519';

/**
 * A Python that has the `cryptography` package, which reads and makes tickets in test/interop; null if there is none.
 *
 * @param {NodeJS.ProcessEnv} env
 */
export function findPython(env) {
  const candidates = [
    ...(env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'python3')),
    DEBIAN_PYTHON,
  ];
  const works = (/** @type {string} */ file) =>
    isExecutable(file) && spawnSync(file, ['-c', NEEDS_CRYPTOGRAPHY], { stdio: 'ignore', env }).status === 0;
  return [...new Set(candidates)].find((file) => file.startsWith('/') && works(file)) ?? null;
}

/** @param {string} program @param {NodeJS.ProcessEnv} env */
export function onPath(program, env) {
  return (env['PATH'] ?? '')
    .split(delimiter)
    .some((folder) => folder !== '' && isExecutable(join(folder, program)));
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Debian keeps PostgreSQL's programs out of PATH, one folder per major version. */
function debianPostgres() {
  const base = '/usr/lib/postgresql';
  if (!existsSync(base)) return [];
  return readdirSync(base).filter((version) => isExecutable(join(base, version, 'bin', 'initdb')));
}

/**
 * Which of the named requirements are missing, as Debian packages.
 *
 * @param {readonly (keyof typeof REQUIREMENTS)[]} names
 * @param {NodeJS.ProcessEnv} env
 */
export function missingPackages(names, env) {
  return names
    .filter((name) => !REQUIREMENTS[name].isPresent(env))
    .map((name) => REQUIREMENTS[name].debianPackage);
}

/** Which Debian packages of a list (one a line, `#` begins a comment) are not installed. @param {string} listFile */
export function missingDebianPackages(listFile) {
  const wanted = readFileSync(listFile, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  return wanted.filter((name) => {
    const { stdout } = spawnSync('dpkg-query', ['-W', '-f=${db:Status-Status}', name], { encoding: 'utf8' });
    return stdout !== 'installed';
  });
}

/** @param {NodeJS.ProcessEnv} env */
export function isDebian(env) {
  return existsSync('/etc/debian_version') && onPath('apt-get', env) && onPath('dpkg-query', env);
}

/**
 * Why apt may not be used here, or null if it may.
 *
 * @param {{ env: NodeJS.ProcessEnv, uid: number | undefined, debian: boolean }} situation
 */
export function whyNoApt({ env, uid, debian }) {
  if (env['USHER_NO_APT'] === '1') return 'USHER_NO_APT=1 forbids apt';
  if (!debian) return 'this is not Debian';
  if (uid !== 0) return 'only root can install them';
  return null;
}

/** @param {readonly string[]} packages @param {string} reason */
export function missingLine(packages, reason) {
  return `missing system packages (${reason}): ${packages.join(' ')} - to install them on Debian: sudo apt-get install --no-install-recommends ${packages.join(' ')}`;
}

let listsAreFresh = false;

/**
 * Installs Debian packages, or says in one line which are missing.
 *
 * @param {readonly string[]} packages
 * @param {string} label
 * @throws {SetUpError}
 */
export async function installSystemPackages(packages, label) {
  if (packages.length === 0) return;
  const reason = whyNoApt({ env: process.env, uid: process.getuid?.(), debian: isDebian(process.env) });
  if (reason !== null) throw new SetUpError(missingLine(packages, reason));
  say(`${label} missing system packages, to be installed with apt-get: ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const patience = [
    '-o',
    'Acquire::Retries=3',
    '-o',
    'Acquire::http::Timeout=30',
    '-o',
    'DPkg::Lock::Timeout=300',
  ];
  if (!listsAreFresh) {
    await withProgress(`${label} apt-get update`, () =>
      runStep('apt-get', ['-qq', ...patience, 'update'], { env }),
    );
    listsAreFresh = true;
  }
  const install = () =>
    withProgress(`${label} apt-get install`, () =>
      runStep('apt-get', ['-qq', '-y', ...patience, 'install', '--no-install-recommends', ...packages], {
        env,
      }),
    );
  const services = packages.filter((name) => SERVICES.includes(name));
  await withoutDatabaseServer(services.length > 0 ? () => withoutServices(services, install) : install);
}

/** Debian packages that start a service of their name when installed, and at each boot. The tests need only programs. */
const SERVICES = ['nginx', 'caddy', 'coturn'];

/** Where Debian asks whether a service may be started (invoke-rc.d). */
const SERVICE_POLICY = '/usr/sbin/policy-rc.d';

/**
 * @param {readonly string[]} services which of `SERVICES` are about to be installed
 * @param {() => Promise<void>} install
 */
async function withoutServices(services, install) {
  const ours = !existsSync(SERVICE_POLICY);
  // 101: forbidden by policy.
  if (ours) writeFileSync(SERVICE_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await install();
  } finally {
    if (ours) rmSync(SERVICE_POLICY, { force: true });
  }
  for (const service of services) {
    spawnSync('update-rc.d', [service, 'disable'], { stdio: 'ignore' });
    spawnSync('systemctl', ['disable', `${service}.service`], { stdio: 'ignore' });
  }
}

/**
 * Debian's PostgreSQL makes and starts a database server when first installed. The tests need only its
 * programs, so it is told not to, unless it has been set up here before.
 *
 * @param {() => Promise<void>} install
 */
async function withoutDatabaseServer(install) {
  const setting = '/etc/postgresql-common/createcluster.d/media-usher.conf';
  if (existsSync('/etc/postgresql-common')) return install();
  mkdirSync(dirname(setting), { recursive: true });
  writeFileSync(setting, 'create_main_cluster = false\n');
  try {
    await install();
  } finally {
    rmSync(setting, { force: true });
    if (!existsSync('/etc/postgresql-common/createcluster.conf'))
      rmSync('/etc/postgresql-common', { recursive: true });
  }
}
