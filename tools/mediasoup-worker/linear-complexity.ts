/**
 * Linear complexity of a bit sequence: the length of the shortest linear feedback shift register that
 * makes it (Berlekamp and Massey over GF(2)). For n unpredictable bits it is within a few of n / 2;
 * for any generator that is linear over GF(2) it never exceeds the size of its state, however long
 * the sequence: at most 19,968 for the Mersenne Twister.
 *
 * @param bits zeros and ones
 */
export function linearComplexity(bits: Uint8Array): number {
  const words = (bits.length >>> 5) + 2;
  // Polynomials, coefficient i at bit i. `recent` holds the sequence backwards, newest at bit 0.
  const connection = new Uint32Array(words);
  let previous = new Uint32Array(words);
  const recent = new Uint32Array(words);
  connection[0] = 1;
  previous[0] = 1;
  let length = 0;
  let sincePrevious = 1;
  for (let n = 0; n < bits.length; n++) {
    const used = (n >>> 5) + 2;
    shiftInto(recent, bits[n] ?? 0, used);
    if (parityOfAnd(connection, recent, (length >>> 5) + 1) === 0) {
      sincePrevious += 1;
    } else if (2 * length <= n) {
      const before = connection.slice();
      addShifted(connection, previous, sincePrevious);
      previous = before;
      length = n + 1 - length;
      sincePrevious = 1;
    } else {
      addShifted(connection, previous, sincePrevious);
      sincePrevious += 1;
    }
  }
  return length;
}

function shiftInto(words: Uint32Array, bit: number, used: number): void {
  let carry = bit;
  for (let i = 0; i < used && i < words.length; i++) {
    const word = words[i] ?? 0;
    words[i] = (word << 1) | carry;
    carry = word >>> 31;
  }
}

function parityOfAnd(a: Uint32Array, b: Uint32Array, used: number): number {
  let sum = 0;
  for (let i = 0; i < used; i++) sum ^= (a[i] ?? 0) & (b[i] ?? 0);
  for (let shift = 16; shift > 0; shift >>= 1) sum ^= sum >>> shift;
  return sum & 1;
}

/** target += source * x^shift */
function addShifted(target: Uint32Array, source: Uint32Array, shift: number): void {
  const whole = shift >>> 5;
  const rest = shift & 31;
  for (let i = target.length - 1; i >= whole; i--) {
    const high = source[i - whole] ?? 0;
    const low = rest === 0 ? 0 : (source[i - whole - 1] ?? 0) >>> (32 - rest);
    target[i] = (target[i] ?? 0) ^ ((high << rest) | low);
  }
}

/** Characters that {@link drawnFromMersenneTwister} needs: over twice the generator's state in bits. */
export const CHARACTERS_NEEDED = 41_984;

/** Above the state of std::mt19937_64 (312 words of 64 bits), below half of CHARACTERS_NEEDED. */
const MAX_LINEAR = 20_000;

/**
 * Whether random characters of the alphabet 0-9a-z, in the order drawn, come from std::mt19937_64 (or
 * any other generator that is linear over GF(2) with a state of at most 20,000 bits).
 *
 * libstdc++ maps a 64-bit draw x to floor(x * 36 / 2^64), so whether a character is in the upper half
 * of the alphabet is exactly the top bit of x: a linear function of the generator's state. Unpredictable
 * characters pass for such a sequence with a probability below 2^-1900.
 */
export function drawnFromMersenneTwister(characters: string): boolean {
  if (characters.length < CHARACTERS_NEEDED) throw new TypeError('too few characters to tell');
  const bits = Uint8Array.from(characters, (character) => (Number.parseInt(character, 36) >= 18 ? 1 : 0));
  return linearComplexity(bits) <= MAX_LINEAR;
}
