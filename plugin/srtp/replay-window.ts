/** What was received already (RFC 3711 section 3.3.2). */
export interface ReplayWindow {
  /** True for an index that was not taken yet and is not too old to know. */
  isNew(index: number): boolean;
  /** To be called once the packet has been authenticated. */
  take(index: number): void;
}

/** More than the 64 that are asked for: video comes in bursts, and a late packet may still be shown. */
const DEFAULT_SIZE = 256;

/** @param size indexes behind the highest that are told apart; a multiple of 32, at least 64 */
export function createReplayWindow(size = DEFAULT_SIZE): ReplayWindow {
  /** A bit for each index, modulo `size`. */
  const taken = new Uint32Array(size / 32);
  let highest = -1;

  const bitOf = (index: number): number => 1 << (index % 32);
  const wordOf = (index: number): number => (index % size) >>> 5;

  function set(index: number, value: boolean): void {
    const word = wordOf(index);
    const before = taken[word] ?? 0;
    taken[word] = value ? before | bitOf(index) : before & ~bitOf(index);
  }

  return {
    isNew(index) {
      if (index > highest) return true;
      if (index <= highest - size) return false;
      return ((taken[wordOf(index)] ?? 0) & bitOf(index)) === 0;
    },
    take(index) {
      if (index > highest) {
        if (index - highest >= size) taken.fill(0);
        else for (let old = highest + 1; old <= index; old++) set(old, false);
        highest = index;
      }
      set(index, true);
    },
  };
}
