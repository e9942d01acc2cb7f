/** What is fuzzed. */
export interface FuzzTarget {
  /**
   * Takes an input, as whoever sends it would have it taken. What it throws is a find, unless it is one of `refusals`;
   * so is a promise about good inputs that does not hold. One input at a time.
   */
  take(input: Buffer): void | Promise<void>;
  /** Errors by which an input is refused as it should be. */
  readonly refusals: readonly (abstract new (...args: never[]) => Error)[];
  /** Inputs to begin with that are no files of the corpus. */
  readonly seeds: readonly Buffer[];
  /** Folders of files to begin with, beside the corpus; relative to the clone. */
  readonly folders: readonly string[];
  /** What mutations put in. */
  readonly words: readonly string[];
}

/** @throws Error when what must hold does not */
export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`must hold: ${what}`);
}
