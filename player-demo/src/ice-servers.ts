/** The STUN and TURN servers that a WHEP answer names in Link header fields (RFC 8288; RFC 9725 section 4.6). */

const MAX_SERVERS = 8;
const MAX_CHARS = 8192;
/** RFC 7064, RFC 7065. */
const ICE_URL = /^(?:stun|turn)s?:[^\s<>"]{1,300}$/i;
const TARGET = /\s*<([^<>]*)>/y;
/** One target attribute: a token or a quoted string (RFC 8288 section 3). */
const ATTRIBUTE = /\s*;\s*([A-Za-z0-9!#$&+.^_`|~*-]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+)))?/y;
const COMMA = /\s*,/y;

interface Link {
  readonly target: string;
  /** By name in small letters; of one that is there twice the first. */
  readonly attributes: ReadonlyMap<string, string>;
}

/** Reads the field up to what is not as RFC 8288 has it. */
function parseLinks(field: string): Link[] {
  const links: Link[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(field);
    if (found !== null) at = pattern.lastIndex;
    return found;
  };
  do {
    const target = take(TARGET)?.[1];
    if (target === undefined) return links;
    const attributes = new Map<string, string>();
    for (let found = take(ATTRIBUTE); found !== null; found = take(ATTRIBUTE)) {
      const name = (found[1] ?? '').toLowerCase();
      const value = found[2]?.replace(/\\(.)/g, '$1') ?? found[3] ?? '';
      if (!attributes.has(name)) attributes.set(name, value);
    }
    links.push({ target, attributes });
  } while (take(COMMA) !== null);
  return links;
}

/** What `RTCPeerConnection` wants to know; links of other kinds are left out, and TURN without credentials. */
export function iceServersOf(field: string | null): RTCIceServer[] {
  if (field === null || field.length > MAX_CHARS) return [];
  return parseLinks(field)
    .flatMap(({ target, attributes }): RTCIceServer[] => {
      const relations = (attributes.get('rel') ?? '').toLowerCase().split(/\s+/);
      if (!relations.includes('ice-server') || !ICE_URL.test(target)) return [];
      if (/^stun/i.test(target)) return [{ urls: target }];
      const [username, credential] = [attributes.get('username'), attributes.get('credential')];
      if (username === undefined || credential === undefined) return [];
      // The only type that browsers know.
      if ((attributes.get('credential-type') ?? 'password') !== 'password') return [];
      return [{ urls: target, username, credential }];
    })
    .slice(0, MAX_SERVERS);
}
