/** The files of a spool in memory, which can fail, and lose their power in the middle of anything. */
import type { SpoolDisk } from '../../plugin/receipts/spool-disk.ts';

export interface MemoryDisk extends SpoolDisk {
  readonly files: Map<string, Buffer>;
  /** Writes so far; each is one sync. */
  writes(): number;
  /** What every write fails with from now on, after it has written half; `null`: no longer. */
  failWith: string | null;
  /** Files that every read of fails with EIO from now on. */
  readonly unreadable: Set<string>;
  /** After so many operations from now on the power goes: that one, and all later ones, never end. */
  losePowerAfter(operations: number): Promise<void>;
  /**
   * What is found when the power is back: of the operation that was under way nothing, all or a part.
   * @param draw a number from 0 to 1, another one with each call
   */
  found(draw: () => number): MemoryDisk;
}

type Operation =
  | { readonly kind: 'write'; readonly name: string; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly name: string; readonly toBytes: number }
  | { readonly kind: 'rename'; readonly name: string; readonly to: string }
  | { readonly kind: 'remove'; readonly name: string };

/** Disks write sectors, in any order. */
const SECTOR_BYTES = 64;

function written(before: Buffer, at: number, bytes: Buffer): Buffer {
  const after = Buffer.alloc(Math.max(before.byteLength, at + bytes.byteLength));
  before.copy(after);
  bytes.copy(after, at);
  return after;
}

function apply(files: Map<string, Buffer>, operation: Operation): void {
  const { name } = operation;
  const content = files.get(name) ?? Buffer.alloc(0);
  if (operation.kind === 'write') files.set(name, written(content, operation.at, operation.bytes));
  else if (operation.kind === 'truncate') files.set(name, content.subarray(0, operation.toBytes));
  else files.delete(name);
  if (operation.kind === 'rename') files.set(operation.to, content);
}

/** A write that was cut off: some of its sectors, and of the file's new length a part. */
function applyInPart(
  files: Map<string, Buffer>,
  { name, at, bytes }: Operation & { kind: 'write' },
  draw: () => number,
): void {
  const torn = Buffer.alloc(Math.floor(draw() * (bytes.byteLength + 1)));
  for (let from = 0; from < torn.byteLength; from += SECTOR_BYTES) {
    if (draw() < 0.7) bytes.copy(torn, from, from, Math.min(from + SECTOR_BYTES, torn.byteLength));
  }
  apply(files, { kind: 'write', name, at, bytes: torn });
}

export function createMemoryDisk(content: ReadonlyMap<string, Buffer> = new Map()): MemoryDisk {
  const files = new Map(content);
  let writes = 0;
  let left = Number.POSITIVE_INFINITY;
  let underWay: Operation | null = null;
  let powerLost: () => void = () => undefined;

  async function run(operation: Operation): Promise<void> {
    await Promise.resolve();
    left -= 1;
    if (left < 0) {
      underWay ??= operation;
      powerLost();
      await new Promise(() => undefined);
    }
    if (disk.failWith !== null && operation.kind === 'write') {
      apply(files, { ...operation, bytes: operation.bytes.subarray(0, operation.bytes.byteLength / 2) });
      throw Object.assign(new Error('write'), { code: disk.failWith });
    }
    apply(files, operation);
    if (operation.kind === 'write') writes += 1;
  }

  const disk: MemoryDisk = {
    files,
    failWith: null,
    unreadable: new Set(),
    writes: () => writes,
    losePowerAfter(operations) {
      left = operations;
      return new Promise((resolve) => {
        powerLost = resolve;
      });
    },
    found(draw) {
      const after = new Map(files);
      if (underWay?.kind === 'write') applyInPart(after, underWay, draw);
      else if (underWay !== null && draw() < 0.5) apply(after, underWay);
      return createMemoryDisk(after);
    },
    list: () => Promise.resolve([...files.keys()]),
    async read(name) {
      await Promise.resolve();
      if (disk.unreadable.has(name)) throw Object.assign(new Error('read'), { code: 'EIO' });
      const file = files.get(name);
      if (file === undefined) throw Object.assign(new Error('open'), { code: 'ENOENT' });
      return Buffer.from(file);
    },
    write: (name, at, bytes) => run({ kind: 'write', name, at, bytes: Buffer.from(bytes) }),
    truncate: (name, toBytes) => run({ kind: 'truncate', name, toBytes }),
    rename: (name, to) => run({ kind: 'rename', name, to }),
    remove: (name) => run({ kind: 'remove', name }),
    close: () => Promise.resolve(),
  };
  return disk;
}
