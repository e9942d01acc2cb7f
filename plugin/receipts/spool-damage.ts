/** What of a spool is damaged or cannot be read: it is set aside with an alarm, and the rest goes on without it. */
import { errorFields } from '../error-fields.ts';
import type { Log } from '../ports.ts';
import type { SpoolDisk } from './spool-disk.ts';
import { decodeSegment, type SpoolEntry } from './spool-format.ts';

/** A segment that cannot be read so many times in a row must not hold up those after it. */
export const MAX_READ_FAILURES = 3;

export interface FoundSegment {
  readonly entries: readonly SpoolEntry[];
  /** Length of its whole records. */
  readonly bytes: number;
}

export interface DamageControl {
  /**
   * Reads a segment that was found, and takes from it what no record is. `null`: it cannot be read.
   * @param isLast a crash may have torn its end
   */
  readFound(name: string, isLast: boolean): Promise<FoundSegment | null>;
  /** A segment cannot be read, and will not be. Never rejects. */
  setAside(name: string, cause: unknown): Promise<void>;
  /** So many receipts of a segment were there, and are no longer. */
  noteLoss(name: string, receipts: number): void;
  /** Files of which something was set aside or lost so far. */
  count(): number;
}

/** Makes it for one spool. */
export function createDamageControl({
  disk,
  log,
}: {
  readonly disk: SpoolDisk;
  readonly log: Log;
}): DamageControl {
  let count = 0;

  /** What is found in the place of records stays for whoever wants to look into it. */
  async function cutOff(name: string, content: Buffer, from: number): Promise<void> {
    const rest = `${name}.damaged-${String(from)}`;
    await disk.write(rest, 0, content.subarray(from));
    await disk.truncate(name, from);
    count += 1;
    log.error(
      { file: rest, bytes: content.byteLength - from },
      'a segment of the receipts is damaged: the rest of it was set aside and is not delivered',
    );
  }

  async function setAside(name: string, cause: unknown): Promise<void> {
    count += 1;
    log.error(
      { file: name, ...errorFields(cause) },
      'a segment of the receipts cannot be read: it was set aside',
    );
    await disk.rename(name, `${name}.damaged-0`).catch((error: unknown) => {
      log.warn(
        { file: name, ...errorFields(error) },
        'what cannot be read of the receipts could not be renamed',
      );
    });
  }

  async function read(name: string): Promise<Buffer | null> {
    for (let failures = 1; ; failures++) {
      try {
        return await disk.read(name);
      } catch (error) {
        if (failures < MAX_READ_FAILURES) continue;
        await setAside(name, error);
        return null;
      }
    }
  }

  return {
    setAside,
    async readFound(name, isLast) {
      const content = await read(name);
      if (content === null) return null;
      const { entries, goodBytes: bytes, rest } = decodeSegment(content);
      try {
        if (rest === 'damaged' || (rest === 'torn' && !isLast)) await cutOff(name, content, bytes);
        else if (rest === 'torn') {
          await disk.truncate(name, bytes);
          const cut = content.byteLength - bytes;
          log.warn(
            { file: name, bytes: cut },
            'the end of the receipts, which was being written, was cut off',
          );
        }
      } catch (error) {
        // Nothing is appended to it any more: it can stay as it is, and the records before it count.
        log.error(
          { file: name, ...errorFields(error) },
          'a damaged segment of the receipts cannot be mended',
        );
      }
      return { entries, bytes };
    },
    noteLoss(name, receipts) {
      count += 1;
      log.error({ file: name, receipts }, 'receipts were damaged on the disk');
    },
    count: () => count,
  };
}
