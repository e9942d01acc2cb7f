import { FormatError } from './format-error.ts';

/** What an AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1) says. */
export interface AacConfig {
  /** MPEG-4 audio object type; 2 is AAC LC, 5 is HE-AAC. */
  readonly objectType: number;
  readonly sampleRateHz: number;
  /** Channels; 0 when the stream itself defines them. */
  readonly channels: number;
  /** Samples of an access unit of AAC LC; `undefined` for other types. */
  readonly unitSamples: 1024 | 960 | undefined;
  /** The AudioSpecificConfig itself. */
  readonly bytes: Buffer;
}

const SAMPLE_RATES_HZ = [
  96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];
const CHANNELS = [0, 1, 2, 3, 4, 5, 6, 8];
const AAC_LC = 2;
const MAX_CONFIG_BYTES = 128;

/**
 * Parses the head of an AudioSpecificConfig.
 * @throws FormatError
 */
export function parseAacConfig(bytes: Buffer): AacConfig {
  if (bytes.length > MAX_CONFIG_BYTES) throw new FormatError('aac', 'AudioSpecificConfig is too long');
  let bit = 0;

  function read(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++, bit++) {
      const byte = bytes[bit >> 3];
      if (byte === undefined) throw new FormatError('aac', 'AudioSpecificConfig ends early');
      value = value * 2 + ((byte >> (7 - (bit & 7))) & 1);
    }
    return value;
  }

  let objectType = read(5);
  if (objectType === 31) objectType = 32 + read(6);
  const rateIndex = read(4);
  const sampleRateHz = rateIndex === 15 ? read(24) : SAMPLE_RATES_HZ[rateIndex];
  const channels = CHANNELS[read(4)];
  if (objectType === 0 || sampleRateHz === undefined || sampleRateHz === 0 || channels === undefined) {
    throw new FormatError('aac', 'AudioSpecificConfig uses reserved values');
  }
  // frameLengthFlag begins the GASpecificConfig (section 4.4.1).
  const unitSamples = objectType !== AAC_LC ? undefined : read(1) === 1 ? 960 : 1024;
  return { objectType, sampleRateHz, channels, unitSamples, bytes };
}
