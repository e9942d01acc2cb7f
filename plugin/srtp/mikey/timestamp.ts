/** Times in T payloads (RFC 3830 section 6.6). */
import type { TimestampPayload } from './message.ts';

/** From 1900, NTP's beginning, to 1970. */
const NTP_OFFSET_MS = 2_208_988_800_000;
/** NTP's seconds have 32 bits; the next era begins in 2036. */
const ERA_MS = 2 ** 32 * 1000;

/** @param nowMs Unix time in milliseconds */
export function timestampOf(nowMs: number): TimestampPayload {
  if (!Number.isFinite(nowMs) || nowMs < 0) throw new RangeError('the time is not a Unix time');
  const sinceEra = (nowMs + NTP_OFFSET_MS) % ERA_MS;
  const seconds = BigInt(Math.floor(sinceEra / 1000));
  const fraction = BigInt(Math.floor(((sinceEra % 1000) / 1000) * 2 ** 32));
  return { type: 'T', kind: 'NTP-UTC', value: (seconds << 32n) | fraction };
}

/** Unix time in milliseconds of an NTP timestamp, in the era that brings it nearest to `nowMs`. */
export function unixMsOf({ value }: TimestampPayload, nowMs: number): number {
  const sinceEra = Number(value >> 32n) * 1000 + (Number(value & 0xffff_ffffn) / 2 ** 32) * 1000;
  const inFirstEra = sinceEra - NTP_OFFSET_MS;
  return inFirstEra + Math.round((nowMs - inFirstEra) / ERA_MS) * ERA_MS;
}
