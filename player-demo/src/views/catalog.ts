import type { App, View } from '../app.ts';
import type { CatalogFilter, Title } from '../api.ts';
import { fill, h } from '../dom.ts';
import { formatOfferPrice } from '../format.ts';
import { hrefOf } from '../router.ts';
import { problemCard } from './notice.ts';
import { artwork } from './poster.ts';

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
    filters(app, (filter) => void load(filter)),
    grid,
  );
  let asked = 0;

  async function load(filter: CatalogFilter = {}): Promise<void> {
    const mine = ++asked;
    grid.setAttribute('aria-busy', 'true');
    if (mine === 1) fill(grid, Array.from({ length: PLACEHOLDERS }, placeholder));
    try {
      const titles = await app.api.catalog(filter);
      if (mine !== asked) return;
      const none =
        Object.keys(filter).length === 0 ? 'Nothing is on sale yet.' : 'Nothing like that is on sale.';
      fill(grid, titles.length === 0 ? h('li', { class: 'empty' }, none) : titles.map(card));
    } catch (error) {
      if (mine !== asked) return;
      fill(
        grid,
        h(
          'li',
          { class: 'empty' },
          problemCard(error, () => void load(filter)),
        ),
      );
    }
    grid.removeAttribute('aria-busy');
  }

  void load();
  return { title: 'Now showing', element };
}

const WAIT_FOR_TYPING_MS = 250;

/** Words to look for, and a category where there are some. */
function filters(app: App, apply: (filter: CatalogFilter) => void): HTMLElement {
  const search = h('input', {
    type: 'search',
    maxlength: 100,
    placeholder: 'Search',
    'aria-label': 'Search titles',
    'data-testid': 'search',
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(changed, WAIT_FOR_TYPING_MS);
    },
  });
  const category = h(
    'select',
    { 'aria-label': 'Category', 'data-testid': 'category', hidden: true, onchange: () => changed() },
    h('option', { value: '' }, 'All categories'),
  );
  let timer: ReturnType<typeof setTimeout> | undefined;
  function changed(): void {
    clearTimeout(timer);
    const words = search.value.trim();
    apply({
      ...(words === '' ? {} : { search: words }),
      ...(category.value === '' ? {} : { category: category.value }),
    });
  }
  app.api.categories().then(
    (categories) => {
      for (const { slug, name } of categories) category.append(h('option', { value: slug }, name));
      category.hidden = categories.length === 0;
    },
    // The catalog itself says that the shop does not answer.
    () => undefined,
  );
  return h(
    'form',
    {
      class: 'filters',
      role: 'search',
      onsubmit: (event) => {
        event.preventDefault();
        changed();
      },
    },
    search,
    category,
  );
}

function card(title: Title): HTMLLIElement {
  return h(
    'li',
    {},
    h(
      'a',
      { class: 'card', href: hrefOf({ page: 'title', id: title.id }), 'data-testid': 'title-card' },
      h('span', { class: 'card-art' }, artwork(title)),
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
  const price = formatOfferPrice(cheapest);
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
