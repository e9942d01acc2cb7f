/** Reading and writing octets, in network byte order. */
import { MikeyError } from './error.ts';

/** Reads from the front; every method throws MikeyError `malformed` when it asks for more than there is. */
export interface Reader {
  readonly isAtEnd: boolean;
  uint8(): number;
  uint16(): number;
  uint32(): number;
  uint64(): bigint;
  /** A copy, so that what is kept holds no message. */
  bytes(count: number): Buffer;
}

export function createReader(source: Uint8Array): Reader {
  const buffer = Buffer.from(source.buffer, source.byteOffset, source.byteLength);
  let at = 0;

  /** Where the next octets begin, which are used up with that. */
  function advance(count: number): number {
    if (count > buffer.length - at) throw new MikeyError('malformed', 'the message ends within a payload');
    at += count;
    return at - count;
  }

  return {
    get isAtEnd() {
      return at === buffer.length;
    },
    uint8: () => buffer.readUInt8(advance(1)),
    uint16: () => buffer.readUInt16BE(advance(2)),
    uint32: () => buffer.readUInt32BE(advance(4)),
    uint64: () => buffer.readBigUInt64BE(advance(8)),
    bytes(count) {
      const start = advance(count);
      return Buffer.from(buffer.subarray(start, start + count));
    },
  };
}

export function uint8(value: number): Buffer {
  const octets = Buffer.alloc(1);
  octets.writeUInt8(value);
  return octets;
}

export function uint16(value: number): Buffer {
  const octets = Buffer.alloc(2);
  octets.writeUInt16BE(value);
  return octets;
}

export function uint32(value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value);
  return octets;
}

export function uint64(value: bigint): Buffer {
  const octets = Buffer.alloc(8);
  octets.writeBigUInt64BE(value);
  return octets;
}

/**
 * @param what its name in errors
 * @throws RangeError when there are fewer or more octets than there may be: a mistake of the caller's
 */
export function requireLength(octets: Uint8Array, least: number, most: number, what: string): void {
  if (octets.length < least || octets.length > most)
    throw new RangeError(`${what} has ${least} to ${most} bytes`);
}
