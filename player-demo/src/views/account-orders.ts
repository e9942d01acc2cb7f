import type { OrderStep, OwnOrder } from '../account-api.ts';
import type { App } from '../app.ts';
import { fill, h } from '../dom.ts';
import { formatMoney, formatPrice, formatWhen } from '../format.ts';
import { hrefOf } from '../router.ts';
import { describeError } from './notice.ts';
import { pagedList } from './paged.ts';

const STATES: Readonly<Record<string, string>> = {
  placed: 'Waiting for the payment',
  authorized: 'Paid for',
  ticketed: 'Ready to watch',
  delivered: 'Being watched',
  captured: 'Charged',
  released: 'Not charged',
  refunded: 'Refunded',
  cancelled: 'Taken back',
  failed: 'Payment failed',
};

const STEPS: Readonly<Record<string, string>> = {
  placed: 'Ordered',
  authorized: 'Payment authorized',
  ticketed: 'Ticket issued',
  delivered: 'First picture',
  captured: 'Charged',
  released: 'Nothing is charged',
  refunded: 'Given back',
  cancelled: 'Taken back',
  failed: 'Payment refused',
};

const PROVIDERS: Readonly<Record<string, string>> = {
  balance: 'from the balance',
  voucher: 'by voucher',
  test_card: 'by test card',
};

/** In these an order can be taken back, unless somebody has begun to watch. */
const OPEN: ReadonlySet<string> = new Set(['placed', 'ticketed']);

/** One's own orders, each with its history; `changed` is told when one was taken back. */
export function ordersSection(app: App, changed: () => void): HTMLElement {
  const rows = h('ul', { class: 'own-orders', 'data-testid': 'own-orders' });
  const list = pagedList(
    { frame: rows, rows, none: 'You have not ordered anything yet.' },
    (after) => app.api.orders(after),
    (order) => orderRow(app, order, reload),
  );
  async function reload(): Promise<void> {
    await list.reload();
    changed();
  }
  void list.reload();
  return h(
    'section',
    { class: 'account-part', 'aria-labelledby': 'orders-title' },
    h('h2', { id: 'orders-title' }, 'Orders'),
    list.element,
    h(
      'p',
      { class: 'muted' },
      'What was watched with them, by signed receipts, is under ',
      h('a', { href: hrefOf({ page: 'usage' }) }, 'What I used'),
      '.',
    ),
  );
}

function orderRow(app: App, order: OwnOrder, reload: () => Promise<void>): HTMLElement {
  const { id, name, state, createdAt, price, captured, refunded, title, payment, history } = order;
  const error = h('p', { class: 'form-error', role: 'alert' });
  const money = [
    fact('Price', formatPrice(price)),
    payment === null ? null : fact('Paid', PROVIDERS[payment.provider] ?? payment.provider),
    captured.amountMinor === 0 ? null : fact('Charged', formatMoney(captured)),
    refunded.amountMinor === 0 ? null : fact('Given back', formatMoney(refunded)),
  ];

  async function cancel(button: HTMLButtonElement): Promise<void> {
    if (!confirm(`Take “${name}” back? Its ticket can no longer be used.`)) return;
    button.disabled = true;
    try {
      await app.api.cancelOrder(id);
      await app.store.removeTicket(id);
      app.announce('Taken back. What was held for it comes back at once, or within a quarter of an hour.');
      await Promise.all([reload(), app.refreshAccount()]);
    } catch (thrown) {
      fill(error, cancelWords(thrown));
      button.disabled = false;
    }
  }

  const button = h(
    'button',
    { type: 'button', class: 'button is-quiet is-small', onclick: () => void cancel(button) },
    'Take it back',
  );
  return h(
    'li',
    {},
    h(
      'details',
      { class: 'own-order' },
      h(
        'summary',
        {},
        h('span', { class: 'cell-title' }, title.name, h('span', { class: 'muted' }, name)),
        h('span', { class: 'muted' }, formatWhen(createdAt)),
        h('span', { class: 'own-state' }, STATES[state] ?? state),
        h('span', { class: 'price' }, formatPrice(price)),
        h('span', { class: 'chevron', 'aria-hidden': 'true' }),
      ),
      h(
        'div',
        { class: 'own-order-body' },
        h('dl', { class: 'own-facts' }, money),
        h(
          'ol',
          { class: 'history', 'aria-label': 'History' },
          history.map((step) => historyLine(step, price.currency)),
        ),
        error,
        OPEN.has(state) ? button : null,
      ),
    ),
  );
}

function cancelWords(thrown: unknown): string {
  const { title, text } = describeError(thrown);
  return `It cannot be taken back. ${title}. ${text}`;
}

function historyLine({ from, to, by, at, amountMinor }: OrderStep, currency: string): HTMLElement {
  const isPartRefund = from === 'captured' && to === 'captured';
  const what = isPartRefund ? 'Given back in part' : (STEPS[to] ?? to);
  const amount = amountMinor === null ? null : formatMoney({ amountMinor, currency });
  // Who orders has not issued the ticket; what provider and system do goes without saying.
  const isOwn = by === 'buyer' && (to === 'placed' || to === 'cancelled');
  const who = isOwn ? 'by you' : by === 'staff' ? 'by the shop' : null;
  const words = [what, amount, who].filter((part) => part !== null);
  return h('li', {}, h('time', { datetime: at }, formatWhen(at)), h('span', {}, words.join(' · ')));
}

function fact(label: string, value: string): HTMLElement {
  return h('div', {}, h('dt', {}, label), h('dd', {}, value));
}
