/** What a process of a bench holds, of memory and of the system. */
import { readdir, readFile, readlink } from 'node:fs/promises';

export interface ProcessState {
  /** Resident, of all the processes together. */
  readonly rssBytes: number;
  /** Of JavaScript, with what it holds outside the heap; of this process alone. */
  readonly heapBytes: number;
  /** Open files and sockets (proc(5), `fd`), of all the processes together. */
  readonly files: number;
  /** Ports that they are bound to, UDP and TCP. */
  readonly ports: number;
  /** What keeps this process's event loop running: sockets, timers, requests. */
  readonly resources: number;
}

const NETS = ['udp', 'udp6', 'tcp', 'tcp6'] as const;

/** Resident memory (proc(5), `VmRSS`). */
export async function rssBytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** What each open file is; one that closes meanwhile is left out. */
async function filesOf(pid: number): Promise<string[]> {
  const directory = `/proc/${String(pid)}/fd`;
  const links = (await readdir(directory)).map((name) => readlink(`${directory}/${name}`).catch(() => null));
  return (await Promise.all(links)).filter((link) => link !== null);
}

/** Local port by `socket:[inode]`, of everything in this network namespace (proc_net(5)). */
async function portsBySocket(): Promise<Map<string, string>> {
  const ports = new Map<string, string>();
  for (const net of NETS) {
    const [, ...lines] = (await readFile(`/proc/net/${net}`, 'utf8').catch(() => '')).split('\n');
    for (const line of lines) {
      const [, local = '', , , , , , , , inode] = line.trim().split(/\s+/);
      if (inode !== undefined)
        ports.set(`socket:[${inode}]`, `${net.slice(0, 3)} ${local.split(':')[1] ?? ''}`);
    }
  }
  return ports;
}

/** Collects garbage first, where `--expose-gc` allows: costs CPU, not to be asked for while that is measured. */
export async function processState(otherPids: readonly number[] = []): Promise<ProcessState> {
  // What the first leaves to finalizers, the second takes.
  globalThis.gc?.();
  await new Promise(setImmediate);
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  const resources = process.getActiveResourcesInfo().length;
  const pids = [process.pid, ...otherPids];
  const rss = await Promise.all(pids.map(rssBytesOf));
  const files = (await Promise.all(pids.map(filesOf))).flat();
  const bySocket = await portsBySocket();
  const ports = new Set(files.flatMap((file) => bySocket.get(file) ?? []));
  return {
    rssBytes: rss.reduce((sum, bytes) => sum + bytes, 0),
    heapBytes: heapUsed + external,
    files: files.length,
    ports: ports.size,
    resources,
  };
}
