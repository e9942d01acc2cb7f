import type { App, View } from '../app.ts';
import type { Money, UsedOrder, UsedSession } from '../api.ts';
import { fill, h } from '../dom.ts';
import { formatBytes, formatClock, formatMoney, formatPrice, formatWhen } from '../format.ts';
import { hrefOf } from '../router.ts';
import { problemCard } from './notice.ts';

/** What was bought, and what the streaming servers' receipts say was watched with it. */
export function usageView(app: App): View {
  const content = h('div', { class: 'usage' });
  const element = h(
    'section',
    { class: 'page' },
    h(
      'header',
      { class: 'page-head' },
      h('h1', { tabindex: -1 }, 'What I used'),
      h('p', { class: 'lead' }, 'Every viewing, as the streaming server’s signed receipts have it.'),
    ),
    content,
  );

  async function load(): Promise<void> {
    if (app.account.value === null) {
      const href = hrefOf({ page: 'sign-in', returnTo: { page: 'usage' } });
      fill(
        content,
        h(
          'div',
          { class: 'notice' },
          h('p', {}, 'Sign in to see it.'),
          h('a', { class: 'button', href }, 'Sign in'),
        ),
      );
      return;
    }
    try {
      const orders = await app.api.used();
      fill(content, orders.length === 0 ? nothingYet() : [totals(orders), table(orders)]);
    } catch (error) {
      fill(
        content,
        problemCard(error, () => void load()),
      );
    }
  }

  fill(content, h('div', { class: 'totals is-placeholder', 'aria-hidden': 'true' }));
  const unsubscribe = app.account.subscribe(() => void load());
  return { title: 'What I used', element, dispose: unsubscribe };
}

function nothingYet(): HTMLElement {
  return h(
    'div',
    { class: 'notice' },
    h('strong', {}, 'Nothing yet'),
    h('p', {}, 'Once you have bought a ticket, it is listed here with all that you watched.'),
    h('a', { class: 'button', href: hrefOf({ page: 'catalog' }) }, 'See what is on'),
  );
}

function totals(orders: readonly UsedOrder[]): HTMLElement {
  const sessions = orders.flatMap((order) => order.sessions);
  return h(
    'dl',
    { class: 'totals' },
    total('Watched', formatClock(sum(sessions, (session) => session.mediaMs) / 1000)),
    total('Data', formatBytes(sum(sessions, (session) => session.bytes))),
    total('Paid', paidInAll(orders)),
    total('Tickets', String(orders.length)),
  );
}

/** What was paid for an order in the end: what was charged less what was given back. */
function paidOf({ captured, refunded }: Pick<UsedOrder, 'captured' | 'refunded'>): Money {
  return { currency: captured.currency, amountMinor: captured.amountMinor - refunded.amountMinor };
}

/** What was paid for orders, per currency, in words. Only what has no price is free: nothing may be paid *yet*. */
export function paidInAll(orders: readonly Pick<UsedOrder, 'price' | 'captured' | 'refunded'>[]): string {
  const paid = new Map<string, number>();
  for (const order of orders) {
    if (order.price.amountMinor === 0) continue;
    const { currency, amountMinor } = paidOf(order);
    paid.set(currency, (paid.get(currency) ?? 0) + amountMinor);
  }
  if (paid.size === 0) return 'Free';
  return [...paid].map(([currency, amountMinor]) => formatMoney({ currency, amountMinor })).join(' + ');
}

/** Until then nothing is charged, but held. */
const OPEN: ReadonlySet<string> = new Set(['placed', 'authorized', 'ticketed', 'delivered']);

/** What an order has cost, in words. */
export function paidWords(order: Pick<UsedOrder, 'state' | 'price' | 'captured' | 'refunded'>): string {
  if (order.price.amountMinor === 0) return formatPrice(order.price);
  return OPEN.has(order.state) ? `${formatMoney(order.price)} held` : formatMoney(paidOf(order));
}

function total(label: string, value: string): HTMLElement {
  return h('div', {}, h('dt', {}, label), h('dd', {}, value));
}

const COLUMNS = ['Title', 'When', 'Watched', 'Data', 'Paid', 'State'];

function table(orders: readonly UsedOrder[]): HTMLElement {
  return h(
    'table',
    { class: 'table', 'data-testid': 'usage' },
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        COLUMNS.map((text) => h('th', { scope: 'col' }, text)),
      ),
    ),
    h('tbody', {}, orders.flatMap(rows)),
  );
}

/** One row a viewing, or one for a ticket that was not used; what was paid stands in an order's first row. */
function rows(order: UsedOrder): HTMLElement[] {
  const sessions: readonly (UsedSession | null)[] = order.sessions.length === 0 ? [null] : order.sessions;
  return sessions.map((session, index) =>
    h(
      'tr',
      { class: index === 0 ? 'is-first' : '' },
      h(
        'th',
        { scope: 'row', class: 'cell-title' },
        order.titleName,
        h('span', { class: 'muted' }, order.offerName),
      ),
      cell('When', formatWhen(session?.startedAt ?? order.createdAt)),
      cell('Watched', session === null ? '–' : formatClock(session.mediaMs / 1000)),
      cell('Data', session === null ? '–' : formatBytes(session.bytes)),
      cell('Paid', index === 0 ? paidWords(order) : 'same ticket'),
      cell('State', session === null ? 'Not used yet' : stateWords(session.reason)),
    ),
  );
}

/** `label` heads the cell where the table is too narrow for columns. */
function cell(label: string, text: string): HTMLElement {
  return h('td', { 'data-label': label }, text);
}

const REASONS: Readonly<Record<string, string>> = {
  completed: 'Watched to the end',
  viewer_left: 'You stopped',
  expired: 'Ticket expired',
  // Of the viewing: others may have the rest of its ticket, or the shop more of it.
  exhausted: 'Its time or data used up',
  revoked: 'Ticket withdrawn',
  kicked: 'Ended by the shop',
  replaced: 'Went on elsewhere',
  viewer_stalled: 'Connection too slow',
  above_tier: 'More than the ticket covers',
  server_stopped: 'Server stopped',
  server_crashed: 'Server failed',
  source_ended: 'Broadcast ended',
};

function stateWords(reason: string | null): string {
  return reason === null ? 'Watching' : (REASONS[reason] ?? 'Ended');
}

function sum<T>(items: readonly T[], amount: (item: T) => number): number {
  return items.reduce((total, item) => total + amount(item), 0);
}
