/** What was sold: the offer as it was when it was ordered. */
import type { Rights } from '../../plugin/rights/index.ts';

export interface OrderTerms {
  /** The offer's name. */
  readonly name: string;
  /** Set when every title of a category was sold. */
  readonly categoryId: string | null;
  readonly rights: Rights;
  /** How long tickets live from the order; null where the two moments say it. */
  readonly validSeconds: number | null;
  /** ISO 8601. */
  readonly validFrom: string | null;
  readonly validUntil: string | null;
  readonly charging: 'free' | 'prepaid' | 'on_delivery' | 'metered';
  /** What becomes of the money of a ticket that was never used. */
  readonly unusedPolicy: 'refund' | 'forfeit';
  /** on_delivery: seconds of media after which the price is due. */
  readonly captureAfterSeconds: number | null;
  /** metered: the price of each unit that was begun. */
  readonly meter: { readonly unit: 'minute' | 'gigabyte'; readonly priceMinor: number } | null;
  readonly transport: 'clear' | null;
  readonly taxInclusive: boolean;
}
