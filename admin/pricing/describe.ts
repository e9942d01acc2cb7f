/** What an offer sells, in the words of a shop: "24 hours from first view". */
import type { TimeOption } from './time-options.ts';

const UNITS = [
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
] as const;

const counted = (count: number, unit: string): string => `${count} ${unit}${count === 1 ? '' : 's'}`;

/** Exact, in the fewest units: "24 hours", "2 days", "1 hour 30 minutes". One day is 24 hours. */
export function describeSpan(seconds: number): string {
  if (seconds === 86_400) return '24 hours';
  const parts: string[] = [];
  let rest = seconds;
  for (const [size, unit] of UNITS) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(counted(count, unit));
  }
  return parts.join(' ');
}

/** `2026-05-01 20:00`, UTC. */
const describeMoment = (iso: string): string => iso.slice(0, 16).replace('T', ' ');

/** One line that says what is sold. */
export function describeTimeOption(option: TimeOption): string {
  switch (option.kind) {
    case 'duration':
      return describeSpan(option.seconds);
    case 'from_first_view':
      return `${describeSpan(option.seconds)} from first view, to begin within ${describeSpan(option.validSeconds)}`;
    case 'event':
      return `From ${describeMoment(option.from)} to ${describeMoment(option.until)} UTC`;
    case 'views':
      return `${counted(option.views, 'view')} within ${describeSpan(option.validSeconds)}`;
    case 'metered':
      return `Per ${option.unit}, up to ${counted(option.max, option.unit)} within ${describeSpan(option.validSeconds)}`;
    case 'category':
      return `Every title of the category for ${describeSpan(option.seconds)}`;
    case 'preview':
      return `Preview of ${describeSpan(option.seconds)}`;
    case 'rights':
      return `Good for ${describeSpan(option.validSeconds)}`;
  }
}
