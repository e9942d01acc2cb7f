/** Inputs made of others, the same again for the same seed. */

/** 0 to `below` - 1; xorshift32 (Marsaglia 2003): repeatable, and no source of secrets. */
export type Dice = (below: number) => number;

export function createDice(seed: number): Dice {
  let state = (seed ^ 0x9e37_79b9) | 0 || 1;
  const draw = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  // Seeds that are near each other begin alike.
  for (let count = 0; count < 8; count++) draw();
  return (below) => draw() % below;
}

export const MAX_INPUT_BYTES = 64 * 1024;
const MAX_EDITS = 8;
const MAX_PIECE_BYTES = 64;
const EDGES = [0x00, 0x01, 0x7f, 0x80, 0xfe, 0xff] as const;
const NUMBERS = [
  '0',
  '-1',
  '1e9',
  '00',
  '65535',
  '65536',
  '2147483648',
  '4294967296',
  '9'.repeat(20),
] as const;

interface Kit {
  readonly dice: Dice;
  readonly seeds: readonly Buffer[];
  readonly words: readonly string[];
}

type Edit = (input: Buffer, kit: Kit) => Buffer;

const pick = <T>(dice: Dice, from: readonly T[]): T | undefined => from[dice(from.length)];
const splice = (input: Buffer, at: number, remove: number, put: Uint8Array): Buffer =>
  Buffer.concat([input.subarray(0, at), put, input.subarray(at + remove)]);

function overwrite(input: Buffer, dice: Dice, byte: (before: number) => number): Buffer {
  const copy = Buffer.from(input);
  const at = dice(Math.max(1, copy.length));
  if (at < copy.length) copy[at] = byte(copy[at] ?? 0);
  return copy;
}

const EDITS: readonly Edit[] = [
  (input, { dice }) => overwrite(input, dice, (before) => before ^ (1 << dice(8))),
  (input, { dice }) => overwrite(input, dice, () => dice(256)),
  (input, { dice }) => overwrite(input, dice, () => pick(dice, EDGES) ?? 0),
  // Big-endian numbers of 2 or 4 octets: lengths and counts.
  (input, { dice }) => {
    const bytes = Buffer.alloc(2 + 2 * dice(2), pick(dice, EDGES));
    return splice(input, dice(input.length + 1), bytes.length, bytes);
  },
  (input, { dice }) => input.subarray(0, dice(input.length + 1)),
  (input, { dice }) => splice(input, dice(input.length + 1), dice(MAX_PIECE_BYTES), Buffer.alloc(0)),
  (input, { dice }) => {
    const bytes = Buffer.from(Array.from({ length: 1 + dice(8) }, () => dice(256)));
    return splice(input, dice(input.length + 1), 0, bytes);
  },
  // A piece again, up to many times.
  (input, { dice }) => {
    const from = dice(input.length + 1);
    const piece = input.subarray(from, from + 1 + dice(MAX_PIECE_BYTES));
    const times = dice(8) === 0 ? 1 + dice(200) : 1;
    return splice(input, from, 0, Buffer.concat(Array.from({ length: times }, () => piece)));
  },
  // The front of one and the back of another.
  (input, { dice, seeds }) => {
    const other = pick(dice, seeds) ?? input;
    return Buffer.concat([input.subarray(0, dice(input.length + 1)), other.subarray(dice(other.length + 1))]);
  },
  (input, { dice, words }) => {
    const word = pick(dice, words) ?? '';
    return splice(input, dice(input.length + 1), dice(2) * word.length, Buffer.from(word, 'latin1'));
  },
  // A decimal number becomes another.
  (input, { dice }) => {
    const text = input.toString('latin1');
    const found = [...text.matchAll(/[0-9]+/g)];
    const match = pick(dice, found);
    const put = Buffer.from(pick(dice, NUMBERS) ?? '', 'latin1');
    return match === undefined ? input : splice(input, match.index, match[0].length, put);
  },
];

/** One of the seeds with 1 to 8 changes, of 64 KiB at most. */
export function mutate(kit: Kit): Buffer {
  let input = pick(kit.dice, kit.seeds) ?? Buffer.alloc(0);
  // Mostly few: what is changed much is refused at its front.
  for (let edits = 1 + kit.dice(1 + kit.dice(MAX_EDITS)); edits > 0; edits--) {
    input = (pick(kit.dice, EDITS)?.(input, kit) ?? input).subarray(0, MAX_INPUT_BYTES);
  }
  // Memory of its own: parsers may write into it, and seeds stay.
  return Buffer.from(input);
}
