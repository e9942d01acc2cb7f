/** When a ticket is about to end: renewing it in time where that is allowed, and saying so where it is not. */
import type { Offer } from './api.ts';
import { asProblem, isWorthWaiting } from './problems.ts';

/** `null`: nothing is about to end. */
export interface Ending {
  readonly leftMs: number;
  readonly isRenewing: boolean;
  /** Why it could not be renewed. */
  readonly failure: unknown;
}

export interface RenewalsOptions {
  /** How long the ticket lasts from now on. */
  readonly leftMs: () => number;
  /** By which it can be renewed; `null` where it cannot. */
  readonly offer: Offer | null;
  /** True while the viewer wants what costs something to be bought by itself. */
  readonly mayPay: () => boolean;
  /** @throws Problem, TicketMismatch */
  readonly renew: () => Promise<void>;
  /** Goes on with what another tab has bought, where there is such; answers whether it does. @throws Problem */
  readonly takeOver: () => Promise<boolean>;
  readonly onEnding: (ending: Ending | null) => void;
  readonly nowMs: () => number;
}

export interface Renewals {
  /** To be called every second while something plays. Never throws. */
  look(): Promise<void>;
  /** The viewer wants it now. Never throws. */
  renewNow(): Promise<void>;
}

const WARN_BEFORE_MS = 5 * 60_000;
/** Early enough for a payment and a few tries. */
const RENEW_BEFORE_MS = 60_000;
/** Of short tickets, less: a share of what they last. */
const SHARE = 4;
const TRY_AGAIN_MS = 5000;
/** What may pass by itself, beside what is worth waiting for anyway. */
const PASSING = new Set(['shop_unreachable', 'unexpected', 'conflict', 'payment_pending']);

/** True if more of an offer can be bought for a ticket that is in use: it is sold for a time, not until a moment, and no taste. */
export function isRenewable(offer: Offer | undefined): offer is Offer {
  return offer !== undefined && offer.validSeconds !== null && !offer.preview;
}

/** True if the viewer need not be asked. */
export const isFree = ({ price, meterPrice }: Offer): boolean =>
  price.amountMinor === 0 && meterPrice === null;

export function createRenewals(options: RenewalsOptions): Renewals {
  const { leftMs, offer, mayPay, onEnding, nowMs } = options;
  const termMs = Math.min(offer?.validSeconds ?? Infinity, offer?.rights.seconds ?? Infinity) * 1000;
  const warnBeforeMs = Math.min(WARN_BEFORE_MS, termMs / SHARE);
  const renewBeforeMs = Math.min(RENEW_BEFORE_MS, termMs / SHARE);
  let failure: unknown = null;
  let isBusy = false;
  let isRenewing = false;
  /** Not before this time. */
  let nextTryMs = 0;

  function tell(): void {
    const left = leftMs();
    onEnding(
      left > warnBeforeMs && failure === null && !isRenewing ? null : { leftMs: left, isRenewing, failure },
    );
  }

  async function goOn(buys: boolean): Promise<void> {
    if (isBusy || offer === null || leftMs() === 0) return tell();
    isBusy = true;
    isRenewing = buys;
    tell();
    try {
      if (buys) await options.renew();
      if (buys || (await options.takeOver())) failure = null;
    } catch (error) {
      failure = error;
      const { code } = asProblem(error);
      const passes = PASSING.has(code) || isWorthWaiting(code);
      nextTryMs = passes ? nowMs() + TRY_AGAIN_MS : Infinity;
    }
    isBusy = isRenewing = false;
    tell();
  }

  return {
    async look() {
      const isDue = offer !== null && leftMs() <= renewBeforeMs && nowMs() >= nextTryMs;
      if (isDue) await goOn(isFree(offer) || mayPay());
      else tell();
    },
    async renewNow() {
      nextTryMs = 0;
      await goOn(true);
    },
  };
}
