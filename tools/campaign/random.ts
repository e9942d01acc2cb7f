/** Numbers that look random and are the same for the same seed (xoshiro128**, Blackman and Vigna). Never for secrets. */

export interface Random {
  /** An integer from 0 to `below` - 1. */
  int(below: number): number;
  pick<T>(list: readonly T[]): T;
  bytes(count: number): Buffer;
  /** UUID version 4. */
  uuid(): string;
}

/** A sequence of its own for each seed. */
export function createRandom(seed: number): Random {
  // splitmix32 fills the state, so that small seeds do not begin alike.
  let fill = seed >>> 0;
  const [a, b, c, d] = Array.from({ length: 4 }, () => {
    fill = (fill + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(fill ^ (fill >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  }) as [number, number, number, number];
  const state = Uint32Array.of(a, b, c, d);
  const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

  function next(): number {
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = state;
    const result = Math.imul(rotate(Math.imul(s1, 5), 7), 9) >>> 0;
    state[2] = s2 ^ s0;
    state[3] = s3 ^ s1;
    state[1] = s1 ^ (s2 ^ s0);
    state[0] = s0 ^ (s3 ^ s1);
    state[2] = s2 ^ s0 ^ (s1 << 9);
    state[3] = rotate(s3 ^ s1, 11);
    return result;
  }

  const random: Random = {
    int: (below) => Math.floor((next() / 2 ** 32) * below),
    pick<T>(list: readonly T[]): T {
      if (list.length === 0) throw new RangeError('nothing to pick from');
      return list[random.int(list.length)] as T;
    },
    bytes(count) {
      const bytes = Buffer.alloc(count);
      for (let at = 0; at < count; at++) bytes[at] = next() & 0xff;
      return bytes;
    },
    uuid() {
      const bytes = random.bytes(16);
      bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
      bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
      const hex = bytes.toString('hex');
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join(
        '-',
      );
    },
  };
  return random;
}
