import type { App, View } from '../app.ts';
import type { Title } from '../api.ts';
import { fill, h } from '../dom.ts';
import { formatPrice } from '../format.ts';
import { hrefOf } from '../router.ts';
import { problemCard } from './notice.ts';
import { poster } from './poster.ts';

const PLACEHOLDERS = 3;

/** All titles as cards. */
export function catalogView(app: App): View {
  const grid = h('ul', { class: 'cards', 'data-testid': 'catalog', 'aria-busy': 'true' });
  const element = h(
    'section',
    { class: 'page' },
    h(
      'header',
      { class: 'page-head' },
      h('h1', { tabindex: -1 }, 'Now showing'),
      h(
        'p',
        { class: 'lead' },
        'Buy a ticket, press play. Every picture is encrypted with keys made for you alone.',
      ),
    ),
    grid,
  );

  async function load(): Promise<void> {
    fill(grid, Array.from({ length: PLACEHOLDERS }, placeholder));
    try {
      const titles = await app.api.catalog();
      fill(
        grid,
        titles.length === 0 ? h('li', { class: 'empty' }, 'Nothing is on sale yet.') : titles.map(card),
      );
    } catch (error) {
      fill(
        grid,
        h(
          'li',
          { class: 'empty' },
          problemCard(error, () => void load()),
        ),
      );
    }
    grid.removeAttribute('aria-busy');
  }

  void load();
  return { title: 'Now showing', element };
}

function card(title: Title): HTMLLIElement {
  return h(
    'li',
    {},
    h(
      'a',
      { class: 'card', href: hrefOf({ page: 'title', id: title.id }), 'data-testid': 'title-card' },
      h('span', { class: 'card-art' }, poster(title.path)),
      h(
        'span',
        { class: 'card-body' },
        h('span', { class: 'card-name' }, title.name),
        h('span', { class: 'card-text' }, title.description),
        h(
          'span',
          { class: 'card-foot' },
          h('span', { class: 'price' }, priceFrom(title)),
          offersCount(title),
        ),
      ),
    ),
  );
}

function priceFrom({ offers }: Title): string {
  const cheapest = [...offers].sort((a, b) => a.price.amountMinor - b.price.amountMinor)[0];
  if (cheapest === undefined) return 'Not on sale';
  const price = formatPrice(cheapest.price);
  return offers.length === 1 || cheapest.price.amountMinor === 0 ? price : `from ${price}`;
}

function offersCount({ offers }: Title): HTMLElement | null {
  if (offers.length < 2) return null;
  return h('span', { class: 'muted' }, `${offers.length} tickets to choose from`);
}

/** As large as a card, so that nothing jumps when the titles come. */
function placeholder(): HTMLLIElement {
  return h(
    'li',
    { 'aria-hidden': 'true' },
    h(
      'div',
      { class: 'card is-placeholder' },
      h('span', { class: 'card-art' }),
      h('span', { class: 'card-body' }, h('span', { class: 'bar' }), h('span', { class: 'bar is-long' })),
    ),
  );
}
