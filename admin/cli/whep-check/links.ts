/** `Link` header fields (RFC 8288 section 3). */

export interface Link {
  readonly target: string;
  /** By name in lower case; the first of a name counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

const TOKEN = /[A-Za-z0-9!#$%&'*+.^_`|~-]+/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
const BARE = /[^\s",;]+/y;
const TARGET = /<([^<>\s]*)>/y;
const SPACE = /[ \t]*/y;

/** Reads a field, several joined by commas included; `null` when it is malformed. */
export function parseLinks(field: string): readonly Link[] | null {
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(field);
    if (found !== null) at = pattern.lastIndex;
    return found;
  };
  const next = (character: string): boolean => {
    take(SPACE);
    const is = field[at] === character;
    if (is) at += 1;
    take(SPACE);
    return is;
  };
  const readValue = (): string | null => {
    const quoted = take(QUOTED)?.[1];
    return quoted === undefined ? (take(BARE)?.[0] ?? null) : quoted.replaceAll(/\\(.)/g, '$1');
  };
  const links: Link[] = [];
  do {
    take(SPACE);
    const target = take(TARGET)?.[1];
    if (target === undefined) return null;
    const parameters = new Map<string, string>();
    while (next(';')) {
      const name = take(TOKEN)?.[0].toLowerCase();
      if (name === undefined) return null;
      const value = next('=') ? readValue() : '';
      if (value === null) return null;
      if (!parameters.has(name)) parameters.set(name, value);
    }
    links.push({ target, parameters });
  } while (next(','));
  return at === field.length ? links : null;
}

/** The relation types of a link (RFC 8288 section 3.3). */
export const relationsOf = ({ parameters }: Link): readonly string[] =>
  (parameters.get('rel') ?? '')
    .toLowerCase()
    .split(/\s+/)
    .filter((type) => type !== '');
