/** SHA-1 (RFC 3174) of one fixed block and 20 octets behind it: the outer hash of an HMAC. No step depends on data. */

export const SHA1_BLOCK_BYTES = 64;
const DIGEST_BYTES = 20;
const DIGEST_WORDS = DIGEST_BYTES / 4;
const SCHEDULE_WORDS = 80;
const START = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0] as const;

/** Section 6.1, method 1: `state` after the block whose 16 words are first in `schedule`, into `into`. */
function compress(state: Int32Array, schedule: Int32Array, into: Int32Array): void {
  for (let t = 16; t < SCHEDULE_WORDS; t++) {
    const word =
      (schedule[t - 3] ?? 0) ^ (schedule[t - 8] ?? 0) ^ (schedule[t - 14] ?? 0) ^ (schedule[t - 16] ?? 0);
    schedule[t] = (word << 1) | (word >>> 31);
  }
  const [h0 = 0, h1 = 0, h2 = 0, h3 = 0, h4 = 0] = state;
  let [a, b, c, d, e] = [h0, h1, h2, h3, h4];
  for (let t = 0; t < SCHEDULE_WORDS; t++) {
    let mixed: number;
    if (t < 20) mixed = (d ^ (b & (c ^ d))) + 0x5a82_7999;
    else if (t < 40) mixed = (b ^ c ^ d) + 0x6ed9_eba1;
    else if (t < 60) mixed = ((b & c) | (d & (b | c))) + 0x8f1b_bcdc;
    else mixed = (b ^ c ^ d) + 0xca62_c1d6;
    const next = (((a << 5) | (a >>> 27)) + e + mixed + (schedule[t] ?? 0)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = next;
  }
  into[0] = h0 + a;
  into[1] = h1 + b;
  into[2] = h2 + c;
  into[3] = h3 + d;
  into[4] = h4 + e;
}

/**
 * The hash of `block` (64 octets) and what is given to the answered function (20 octets).
 * @returns of the answered function: memory that its next call writes over
 */
export function createSha1Tail(block: Buffer): (tail: Buffer) => Buffer {
  const schedule = new Int32Array(SCHEDULE_WORDS);
  for (let t = 0; t < 16; t++) schedule[t] = block.readInt32BE(t * 4);
  const start = new Int32Array(DIGEST_WORDS);
  compress(Int32Array.from(START), schedule, start);
  const state = new Int32Array(DIGEST_WORDS);
  const digest = Buffer.alloc(DIGEST_BYTES);
  return (tail) => {
    for (let t = 0; t < DIGEST_WORDS; t++) schedule[t] = tail.readInt32BE(t * 4);
    schedule.fill(0, DIGEST_WORDS, 15);
    // Section 4: a one, zeros, and the length in bits.
    schedule[DIGEST_WORDS] = 0x8000_0000 | 0;
    schedule[15] = (SHA1_BLOCK_BYTES + DIGEST_BYTES) * 8;
    compress(start, schedule, state);
    for (let t = 0; t < DIGEST_WORDS; t++) digest.writeInt32BE(state[t] ?? 0, t * 4);
    return digest;
  };
}
