/** What every command of `usher` is. */

/** Wrong use of a command: the message is shown with its usage, and the process ends with 2. */
export class UsageError extends TypeError {
  override readonly name = 'UsageError';
}

export interface Command {
  /** What comes after the name, `''` for nothing: `"[--alg Ed25519|ES256]"`. */
  readonly usage: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `help` shows of this command beside its summary. */
  readonly details?: string;
  /**
   * @param args what follows the command's name
   * @returns the exit code, when it is another one than 0
   * @throws UsageError, or any Error: its message is all that is printed, and the process ends with 1
   */
  run(args: readonly string[]): Promise<number | undefined> | Promise<void>;
}

/** Commands by name; a name is one word or two (`"keys rotate"`). */
export type CommandTable = Readonly<Record<string, Command>>;

/** The longest name in the table that the words begin with, and the words after it; `null` when there is none. */
export function findCommand(
  table: CommandTable,
  words: readonly string[],
): { readonly name: string; readonly command: Command; readonly args: readonly string[] } | null {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    const command = words.length >= length && Object.hasOwn(table, name) ? table[name] : undefined;
    if (command !== undefined) return { name, command, args: words.slice(length) };
  }
  return null;
}

/** The list of commands, aligned. */
export function commandList(table: CommandTable): string {
  const width = Math.max(...Object.keys(table).map((name) => name.length));
  return Object.entries(table)
    .map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`)
    .join('\n');
}
