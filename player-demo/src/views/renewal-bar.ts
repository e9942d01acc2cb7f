import type { Offer } from '../api.ts';
import { fill, h, type Child } from '../dom.ts';
import { formatLeft, formatOfferPrice, formatSpan } from '../format.ts';
import { isFree, type Ending } from '../renewal.ts';
import { describeError } from './notice.ts';

export interface RenewalBar {
  readonly element: HTMLElement;
  /** What the ticket on show can be renewed by; `null` where it cannot, `undefined` without a ticket. */
  use(offer: Offer | null | undefined): void;
  show(ending: Ending | null): void;
  /** True while the viewer wants more to be bought by itself. */
  mayPay(): boolean;
}

/** Screen readers are told at these times, in seconds, and not each second. */
const TOLD_AT = [300, 60, 10];

/** Under the picture: how long the ticket lasts when it is about to end, and what becomes of that. */
export function renewalBar(renewNow: () => void, announce: (text: string) => void): RenewalBar {
  const words = h('strong', {});
  const detail = h('p', { class: 'muted' });
  const does = h('span', {});
  const box = h('input', { type: 'checkbox', 'data-testid': 'renew-by-itself' });
  const agree = h('label', { class: 'renewal-agree' }, box, does);
  const button = h(
    'button',
    { type: 'button', class: 'button is-small', onclick: renewNow, 'data-testid': 'renew' },
    '',
  );
  const element = h(
    'section',
    { class: 'renewal', 'aria-label': 'Ticket', 'data-testid': 'renewal' },
    h('div', { class: 'renewal-words' }, words, detail),
    agree,
    button,
  );
  element.hidden = true;
  let offer: Offer | null | undefined;
  let told = Infinity;

  function tell(leftSeconds: number): void {
    const due = TOLD_AT.find((seconds) => leftSeconds <= seconds && told > seconds);
    if (due === undefined) return;
    told = Math.min(...TOLD_AT.filter((seconds) => leftSeconds <= seconds));
    announce(`${words.textContent} ${detail.textContent}`);
  }

  function describe({ failure, isRenewing }: Ending): Child {
    if (isRenewing) return 'It is being renewed…';
    if (failure !== null) {
      const { title, text } = describeError(failure);
      return `It could not be renewed. ${title}. ${text}`;
    }
    if (!offer)
      return 'The picture stops then. It cannot be renewed; another ticket can be bought at any time.';
    if (isFree(offer) || box.checked) return 'It is renewed by itself; the picture goes on.';
    return 'The picture stops then, unless you buy more. It goes on without a break if you do so before.';
  }

  function show(ending: Ending | null): void {
    element.hidden = offer === undefined || (ending === null && agree.hidden);
    element.dataset['ending'] = ending === null ? 'no' : 'yes';
    words.hidden = detail.hidden = ending === null;
    button.hidden = ending === null || agree.hidden;
    if (ending === null) {
      told = Infinity;
      return;
    }
    const leftSeconds = Math.ceil(ending.leftMs / 1000);
    fill(
      words,
      leftSeconds === 0 ? 'Your ticket has ended.' : `Your ticket ends in ${formatLeft(leftSeconds)}.`,
    );
    fill(detail, describe(ending));
    button.disabled = ending.isRenewing;
    tell(leftSeconds);
  }

  return {
    element,
    show,
    use(next) {
      offer = next;
      told = Infinity;
      box.checked = false;
      const asks = !!offer && !isFree(offer);
      agree.hidden = !asks;
      if (offer && asks) {
        const more = `${formatSpan(offer.validSeconds ?? 0)} for ${formatOfferPrice(offer)}`;
        fill(does, `Keep watching: buy another ${more} by itself before this ends`);
        fill(button, `Buy ${more}`);
      }
      show(null);
    },
    mayPay: () => box.checked,
  };
}
