import type { Offer, OpenOrder, Title } from '../api.ts';
import { h, icon } from '../dom.ts';
import { describeRights, formatLeft, formatOfferPrice, formatPrice, formatWhen } from '../format.ts';
import type { StoredTicket } from '../store.ts';

/** The open orders of a title's categories, of each offer the newest. */
export function heldOf(title: Title, open: readonly OpenOrder[], nowMs: number): readonly OpenOrder[] {
  const lasting = open.filter(
    ({ offer, expiresAt }) =>
      Date.parse(expiresAt) > nowMs && title.categories.some(({ id }) => id === offer.categoryId),
  );
  return lasting.filter(({ offer }, at) => lasting.findIndex((order) => order.offer.id === offer.id) === at);
}

/** What is on sale, and what is held: that as it was sold, whether it is still on sale or not. */
export function shownOffers(title: Title, held: readonly OpenOrder[]): readonly Offer[] {
  const own = held.map(({ offer }) => offer);
  return [...own, ...title.offers.filter(({ id }) => own.every((offer) => offer.id !== id))];
}

/** What can be bought, cheapest first, or is `held` already; `quiet` beside a ticket that is there already. */
export function offerList(
  offers: readonly Offer[],
  held: readonly OpenOrder[],
  quiet: boolean,
  buy: (offer: Offer, button: HTMLButtonElement) => void,
): HTMLElement {
  const sorted = [...offers].sort((a, b) => a.price.amountMinor - b.price.amountMinor);
  return h(
    'ul',
    { class: 'offers', 'data-testid': 'offers' },
    sorted.map((offer) => {
      const own = held.find((order) => order.offer.id === offer.id);
      const free = offer.price.amountMinor === 0;
      const does = own !== undefined ? 'Watch' : free ? 'Get and watch' : 'Buy and watch';
      const button = h(
        'button',
        {
          type: 'button',
          class: quiet ? 'button is-wide is-quiet' : 'button is-wide',
          'data-testid': 'buy',
          'aria-label': `${does}: ${offer.name}, ${own === undefined ? formatPrice(offer.price) : 'bought'}`,
          onclick: () => buy(offer, button),
        },
        does,
      );
      return h(
        'li',
        { class: 'offer' },
        h(
          'div',
          { class: 'offer-head' },
          h('h3', {}, offer.name),
          h('span', { class: 'price' }, own === undefined ? formatOfferPrice(offer) : 'Bought'),
        ),
        h('p', { class: 'muted' }, describeOffer(offer)),
        rightsList(describeRights(offer.rights, offer.validSeconds)),
        button,
      );
    }),
  );
}

function describeOffer({ summary, tierName, meterPrice, price }: Offer): string {
  const most = meterPrice === null ? null : `at most ${formatPrice(price)}`;
  return [summary, tierName, most].filter((part) => part !== null).join(' · ');
}

/** The ticket that this browser holds, as a stub. */
export function ticketStub(ticket: StoredTicket, nowMs: number): HTMLElement {
  const leftSeconds = Math.max(0, ticket.expiresAtSeconds - nowMs / 1000);
  return h(
    'div',
    { class: 'stub', 'data-testid': 'ticket' },
    h('span', { class: 'stub-icon' }, icon('ticket')),
    h(
      'div',
      {},
      h('strong', {}, ticket.offerName),
      h('p', { class: 'muted' }, `Until ${formatWhen(ticket.expiresAtSeconds * 1000)}`),
      h('p', { class: 'muted', 'data-testid': 'ticket-left' }, `${formatLeft(leftSeconds)} left`),
    ),
  );
}

function rightsList(lines: readonly string[]): HTMLElement {
  return h(
    'ul',
    { class: 'rights' },
    lines.map((line) => h('li', {}, icon('check'), line)),
  );
}
