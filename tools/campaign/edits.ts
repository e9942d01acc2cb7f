/** Changes to the text of a JWS that know nothing of what it says. */
import type { Random } from './random.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

const encode = (text: string): string => Buffer.from(text).toString('base64url');
export const decodePart = (part: string): string => Buffer.from(part, 'base64url').toString();

/** One bit of one character inverted, within ASCII. */
export function flipBit(text: string, random: Random): string {
  const at = random.int(text.length);
  const char = String.fromCharCode(text.charCodeAt(at) ^ (1 << random.int(7)));
  return text.slice(0, at) + char + text.slice(at + 1);
}

/** One bit of the bytes that one part stands for, spelled canonically. */
export function flipDecodedBit(text: string, random: Random): string {
  const parts = text.split('.');
  const which = random.int(parts.length);
  const bytes = Buffer.from(parts[which] ?? '', 'base64url');
  const at = random.int(bytes.length);
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.int(8));
  parts[which] = bytes.toString('base64url');
  return parts.join('.');
}

/** A character put in, taken out, or put in the place of another. */
export function editCharacter(text: string, random: Random): string {
  const at = random.int(text.length);
  const char = random.pick([...Array.from(ALPHABET), '.', '=', '+', '/', ' ', '\n', '\0', 'é']);
  return random.pick([
    text.slice(0, at) + char + text.slice(at),
    text.slice(0, at) + text.slice(at + 1),
    text.slice(0, at) + char + text.slice(at + 1),
  ]);
}

export function truncate(text: string, random: Random): string {
  const length = random.int(text.length);
  return random.int(2) === 0 ? text.slice(0, length) : text.slice(length);
}

/** The three parts in another order, one of them twice, one of them missing, or empty. */
export function shuffleParts(text: string, random: Random): string {
  const parts = text.split('.');
  const [a = '', b = '', c = ''] = parts;
  return random
    .pick([
      [b, a, c],
      [a, c, b],
      [c, b, a],
      [a, b, c, c],
      [a, a, b, c],
      [a, b, c, ''],
      ['', a, b, c],
      [a, b],
      [a, b, ''],
      [a, '', c],
      ['', b, c],
      [a, b, c, a, b],
    ])
    .join('.');
}

/** Other spellings of the same bytes. */
export function respell(text: string, random: Random): string {
  const parts = text.split('.');
  const which = random.int(parts.length);
  const part = parts[which] ?? '';
  const last = ALPHABET.indexOf(part.at(-1) ?? '');
  parts[which] = random.pick([
    `${part}=`,
    `${part}==`,
    part.replaceAll('-', '+').replaceAll('_', '/'),
    `${part}\n`,
    `\t${part}`,
    // Decoders that overlook the bits to spare read the same bytes, unless the part has none.
    part.length % 4 === 0 ? `${part}A` : part.slice(0, -1) + (ALPHABET[last ^ 1] ?? ''),
  ]);
  return parts.join('.');
}

/** The JSON of header or payload written in another way; whoever compares what it means finds no difference. */
export function rewriteJson(text: string, random: Random): string {
  const parts = text.split('.');
  const which = random.int(2);
  const json = decodePart(parts[which] ?? '');
  const value = JSON.parse(json) as Record<string, unknown>;
  const members = Object.entries(value);
  const [first = ['', '']] = members;
  parts[which] = encode(
    random.pick([
      JSON.stringify(value, null, 1),
      `${json} `,
      JSON.stringify(Object.fromEntries(members.toReversed())),
      // The first name escaped.
      json.replace(/^\{"(.)/, (_all, char: string) => `{"\\u00${char.charCodeAt(0).toString(16)}`),
      // The first member twice.
      `{"${first[0]}":${JSON.stringify(first[1])},${json.slice(1)}`,
      `\ufeff${json}`,
    ]),
  );
  return parts.join('.');
}

/** Another signature of the right length. */
export function otherSignature(text: string, random: Random): string {
  const end = text.lastIndexOf('.');
  const signature = Buffer.from(text.slice(end + 1), 'base64url');
  const half = signature.length / 2;
  const other = random.pick([
    () => random.bytes(signature.length),
    () => Buffer.alloc(signature.length),
    () => Buffer.alloc(signature.length, 0xff),
    () => Buffer.concat([signature.subarray(half), signature.subarray(0, half)]),
    () => Buffer.concat([signature, Buffer.alloc(1 + random.int(8))]),
    () => signature.subarray(0, signature.length - 1 - random.int(8)),
  ])();
  return `${text.slice(0, end)}.${other.toString('base64url')}`;
}

/** A payload under the signature of another message. */
export function signatureOf(text: string, other: string): string {
  return `${text.slice(0, text.lastIndexOf('.'))}.${other.slice(other.lastIndexOf('.') + 1)}`;
}

/** Header and payload replaced, the signature kept. */
export function replaceParts(text: string, header: object | null, payload: object | null): string {
  const [a = '', b = '', c = ''] = text.split('.');
  const part = (value: object | null, before: string): string =>
    value === null ? before : encode(JSON.stringify(value));
  return [part(header, a), part(payload, b), c].join('.');
}
