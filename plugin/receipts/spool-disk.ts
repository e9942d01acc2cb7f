/** The files of a spool, as the spool needs them; what has been answered has reached the disk. */
import { mkdir, open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { join, resolve } from 'node:path';

/** Every call that resolves survives a loss of power; one that rejects may have happened in part. */
export interface SpoolDisk {
  list(): Promise<string[]>;
  read(name: string): Promise<Buffer>;
  /** Writes bytes at a place of a file, which is made when missing. */
  write(name: string, at: number, bytes: Buffer): Promise<void>;
  truncate(name: string, toBytes: number): Promise<void>;
  /** Gives a file another name, in place of what has that name. */
  rename(name: string, to: string): Promise<void>;
  remove(name: string): Promise<void>;
  close(): Promise<void>;
}

const OWNER_ONLY = 0o600;

async function writeAll(file: FileHandle, at: number, bytes: Buffer): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) {
    const { bytesWritten } = await file.write(bytes, written, bytes.byteLength - written, at + written);
    written += bytesWritten;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Opens a directory for a spool.
 * @param directory made when missing, with the one that it is in, for their owner only
 * @throws Error of the system when it cannot be made or read
 */
export async function openSpoolDisk(directory: string): Promise<SpoolDisk> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const above of ['..', '../..']) await syncDirectory(resolve(directory, above));
  // A name lies in the directory, which has to be written for itself.
  const self = await open(directory, 'r');
  /** The file that is being appended to. */
  let current: { readonly name: string; readonly file: FileHandle } | null = null;

  async function letGo(): Promise<void> {
    const { file } = current ?? {};
    current = null;
    await file?.close();
  }

  async function handleOf(name: string): Promise<FileHandle> {
    if (current?.name === name) return current.file;
    await letGo();
    const path = join(directory, name);
    const found = await open(path, 'r+').catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    });
    const file = found ?? (await open(path, 'wx+', OWNER_ONLY));
    current = { name, file };
    if (found === null) await self.sync();
    return file;
  }

  return {
    list: () => readdir(directory),
    read: (name) => readFile(join(directory, name)),
    async write(name, at, bytes) {
      const file = await handleOf(name);
      await writeAll(file, at, bytes);
      await file.datasync();
    },
    async truncate(name, toBytes) {
      const file = await handleOf(name);
      await file.truncate(toBytes);
      await file.sync();
    },
    async rename(name, to) {
      if (current?.name === name) await letGo();
      await rename(join(directory, name), join(directory, to));
      await self.sync();
    },
    async remove(name) {
      if (current?.name === name) await letGo();
      await rm(join(directory, name), { force: true });
      await self.sync();
    },
    async close() {
      await letGo();
      await self.close();
    },
  };
}
