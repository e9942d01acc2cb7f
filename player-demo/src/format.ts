import type { Money, Offer, Rights } from './api.ts';

/** `€2.50`; the number of minor digits is the currency's own. */
export function formatMoney(money: Money): string {
  return format(money, {});
}

/** What was added or taken, with its sign: `+€2.50`, `-€2.50`. */
export function formatChange(money: Money): string {
  return format(money, { signDisplay: 'exceptZero' });
}

function format({ amountMinor, currency }: Money, options: Intl.NumberFormatOptions): string {
  const format = new Intl.NumberFormat(undefined, { style: 'currency', currency, ...options });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(amountMinor / 10 ** digits);
}

/** `Free`, or the amount. */
export function formatPrice(price: Money): string {
  return price.amountMinor === 0 ? 'Free' : formatMoney(price);
}

/** As `formatPrice`, or what each unit of a metered offer costs: `€0.02 a minute`. */
export function formatOfferPrice({ price, meterPrice, meterUnit }: Priced): string {
  return meterPrice === null ? formatPrice(price) : `${formatMoney(meterPrice)} a ${meterUnit ?? 'unit'}`;
}

type Priced = Pick<Offer, 'price' | 'meterPrice' | 'meterUnit'>;

const UNITS = [
  [86_400, 'day'],
  [3_600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
] as const;

/** In the largest unit that divides it, one day being 24 hours: `90 minutes`, `24 hours`, `2 days`. */
export function formatSpan(seconds: number): string {
  const [size, unit] = UNITS.find(
    ([unitSeconds, name]) => seconds >= (name === 'day' ? 2 : 1) * unitSeconds && seconds % unitSeconds === 0,
  ) ??
    UNITS.find(([unitSeconds]) => seconds >= unitSeconds) ?? [1, 'second'];
  const count = Math.round(seconds / size);
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

/** What is left of a time, so that it reads well: whole hours above two of them, whole minutes above two. */
export function formatLeft(seconds: number): string {
  const unit = seconds >= 7200 ? 3600 : seconds >= 120 ? 60 : 1;
  return formatSpan(Math.max(1, Math.round(seconds / unit)) * unit);
}

/** `1:02:03` or `2:03`. */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Decimal units, as data plans have them: `3.4 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const step = Math.min(units.length - 1, bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** step;
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step] ?? 'B'}`;
}

/** Date and time of day in the viewer's own language and zone. */
export function formatWhen(iso: string | number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' }).format(
    new Date(iso),
  );
}

const BROWSERS = [
  [/\bEdg(?:e|A|iOS)?\//, 'Edge'],
  [/\bOPR\//, 'Opera'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|CriOS|HeadlessChrome)\//, 'Chrome'],
  [/\bVersion\/[\d.]+ .*\bSafari\//, 'Safari'],
] as const;
const SYSTEMS = [
  [/\bAndroid\b/, 'Android'],
  [/\b(?:iPhone|iPad)\b/, 'iOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
] as const;
const MAX_AGENT_CHARS = 60;

/** A User-Agent as people know it: `Firefox on Windows`; what is not a browser's is shown as it is, or its beginning. */
export function describeAgent(userAgent: string | null): string {
  if (userAgent === null || userAgent.trim() === '') return 'A program without a name';
  const find = (table: readonly (readonly [RegExp, string])[]): string | undefined =>
    table.find(([pattern]) => pattern.test(userAgent))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  if (browser === undefined) {
    return userAgent.length > MAX_AGENT_CHARS ? `${userAgent.slice(0, MAX_AGENT_CHARS - 1)}…` : userAgent;
  }
  return system === undefined ? browser : `${browser} on ${system}`;
}

/** What a ticket allows, in short lines. */
export function describeRights(rights: Rights, validSeconds: number | null): string[] {
  const { accesses, seconds, bytes, concurrent, window, tier } = rights;
  const lines = [
    accesses === null
      ? 'Start it as often as you like'
      : accesses === 1
        ? 'One viewing'
        : `${accesses} viewings`,
  ];
  if (validSeconds !== null) lines.push(`Good for ${formatSpan(validSeconds)}`);
  if (window !== null) lines.push(`Ends ${formatSpan(window)} after you first watch`);
  if (seconds !== null) lines.push(`${formatSpan(seconds)} of picture`);
  if (bytes !== null) lines.push(`${formatBytes(bytes)} of data`);
  if (concurrent !== null)
    lines.push(concurrent === 1 ? 'One screen at a time' : `${concurrent} screens at once`);
  if (tier.maxHeight !== undefined) lines.push(`Up to ${tier.maxHeight}p`);
  return lines;
}
