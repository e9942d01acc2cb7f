/**
 * Two hosts on one cable, as network namespaces: a server's and a viewer's. Needs root. Each namespace lives as long as
 * a process of ours that ends with this one, whatever ends it; the cable goes with them, so nothing is left behind.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** RFC 5737 and RFC 3849: addresses that are nobody's. */
const SERVER = { ipv4: '192.0.2.1', ipv6: '2001:db8::1' };
const VIEWER = { ipv4: '192.0.2.2', ipv6: '2001:db8::2' };
const CABLE = 'veth0';

export interface NetworkHost {
  readonly ipv4: string;
  readonly ipv6: string;
  /** What runs a program there: to be put before its name and arguments. */
  readonly enter: readonly string[];
  /** A file that can be run in the place of `program`, and runs it there. */
  wrapperOf(program: string): Promise<string>;
  /** From now on no UDP packet that comes in over the cable arrives, and nobody is told. */
  dropUdp(): void;
}

export interface TwoHosts {
  readonly server: NetworkHost;
  readonly viewer: NetworkHost;
  close(): Promise<void>;
}

function ip(enter: readonly string[], ...args: string[]): void {
  const [program = 'ip', ...rest] = [...enter, 'ip', ...args];
  execFileSync(program, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** A process that does nothing but hold a new namespace, until its standard input ends. */
async function holdNamespace(): Promise<ChildProcess> {
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec cat'], { stdio: 'pipe' });
  let complaint = '';
  holder.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  const refused = once(holder, 'exit').then(() => {
    throw new Error(`no network namespace can be made here; run this test as root. ${complaint.trim()}`);
  });
  await Promise.race([once(holder.stdout, 'data'), refused]);
  // Later it ends when it is told to.
  refused.catch(() => undefined);
  return holder;
}

function hostOf(holder: ChildProcess, own: typeof SERVER, other: typeof SERVER, folder: string): NetworkHost {
  const enter = ['nsenter', `--net=/proc/${String(holder.pid)}/ns/net`];
  // Behind the rule that UDP is dropped by: the kernel delivers by the table `local`.
  for (const family of ['-4', '-6']) {
    ip(enter, family, 'rule', 'add', 'pref', '10', 'table', 'local');
    ip(enter, family, 'rule', 'del', 'pref', '0', 'table', 'local');
  }
  ip(enter, 'link', 'set', 'lo', 'up');
  ip(enter, 'address', 'add', `${own.ipv4}/24`, 'dev', CABLE);
  ip(enter, 'address', 'add', `${own.ipv6}/64`, 'dev', CABLE, 'nodad');
  ip(enter, 'link', 'set', CABLE, 'up');
  // A browser looks for the way to the world first.
  ip(enter, '-4', 'route', 'add', 'default', 'via', other.ipv4);
  ip(enter, '-6', 'route', 'add', 'default', 'via', other.ipv6);
  let wrappers = 0;
  return {
    ...own,
    enter,
    async wrapperOf(program) {
      const file = join(folder, `${String(holder.pid)}-${String(++wrappers)}`);
      await writeFile(file, `#!/bin/sh\nexec ${enter.join(' ')} ${program} "$@"\n`);
      await chmod(file, 0o700);
      return file;
    },
    dropUdp() {
      for (const family of ['-4', '-6']) {
        ip(enter, family, 'rule', 'add', 'pref', '5', 'iif', CABLE, 'ipproto', 'udp', 'blackhole');
      }
    },
  };
}

/**
 * Makes the two hosts.
 * @throws Error that says so where that is not permitted
 */
export async function connectTwoHosts(): Promise<TwoHosts> {
  const folder = await mkdtemp(join(tmpdir(), 'usher-hosts-'));
  const holders = [await holdNamespace(), await holdNamespace()] as const;
  const [server, viewer] = holders;
  const ends = [String(server.pid), String(viewer.pid)] as const;
  ip([], 'link', 'add', CABLE, 'netns', ends[0], 'type', 'veth', 'peer', 'name', CABLE, 'netns', ends[1]);
  return {
    server: hostOf(server, SERVER, VIEWER, folder),
    viewer: hostOf(viewer, VIEWER, SERVER, folder),
    async close() {
      for (const holder of holders) {
        const exited = once(holder, 'exit');
        holder.stdin?.end();
        await exited;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}
