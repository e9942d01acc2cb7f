import type { StatementLine } from '../account-api.ts';
import type { App } from '../app.ts';
import { fill, h } from '../dom.ts';
import { formatChange, formatMoney, formatWhen } from '../format.ts';
import { pagedList } from './paged.ts';

const KINDS: Readonly<Record<string, string>> = {
  hold: 'Held for an order',
  capture: 'Charged for an order',
  release: 'No longer held',
  refund: 'Refund',
  top_up: 'Top-up',
  credit: 'Credit by the shop',
  voucher: 'Voucher',
  order: 'Order',
};
const COLUMNS = ['What', 'When', 'Balance', 'Held'];

export interface StatementSection {
  readonly element: HTMLElement;
  reload(): void;
}

/** What has moved on the balance, by the shop's ledger. */
export function statementSection(app: App): StatementSection {
  const rows = h('tbody', {});
  const frame = h(
    'table',
    { class: 'table', 'data-testid': 'statement' },
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        COLUMNS.map((text) => h('th', { scope: 'col' }, text)),
      ),
    ),
    rows,
  );
  const heldNow = h('p', { class: 'muted' });
  const list = pagedList(
    { frame, rows, none: 'Nothing has moved on your balance yet.' },
    (after) => app.api.statement(after),
    statementRow,
  );

  async function showHeld(): Promise<void> {
    const held = await app.api.held().catch(() => []);
    const some = held.filter(({ amountMinor }) => amountMinor !== 0).map(formatMoney);
    fill(heldNow, some.length === 0 ? null : `Held for orders now: ${some.join(' + ')}`);
    heldNow.hidden = some.length === 0;
  }

  function reload(): void {
    void list.reload();
    void showHeld();
  }
  reload();
  return {
    element: h(
      'section',
      { class: 'account-part', 'aria-labelledby': 'statement-title' },
      h('h2', { id: 'statement-title' }, 'Statement'),
      heldNow,
      list.element,
    ),
    reload,
  };
}

function statementRow({ kind, at, balance, held }: StatementLine): HTMLElement {
  const amount = (label: string, change: typeof balance): HTMLElement =>
    h('td', { 'data-label': label }, change.amountMinor === 0 ? '–' : formatChange(change));
  return h(
    'tr',
    { class: 'is-first' },
    h('th', { scope: 'row', class: 'cell-title' }, KINDS[kind] ?? kind),
    h('td', { 'data-label': 'When' }, formatWhen(at)),
    amount('Balance', balance),
    amount('Held', held),
  );
}
