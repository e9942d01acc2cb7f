import { accountKey, type App } from '../app.ts';
import { fill, h, svg } from '../dom.ts';
import { formatMoney } from '../format.ts';
import { hrefOf, navigate, parseRoute } from '../router.ts';

/** Brand, pages, and who is signed in. */
export function header(app: App): HTMLElement {
  const links = [
    { href: hrefOf({ page: 'catalog' }), text: 'Watch', page: 'catalog' },
    { href: hrefOf({ page: 'usage' }), text: 'What I used', page: 'usage' },
    { href: hrefOf({ page: 'account' }), text: 'Account', page: 'account' },
  ].map(({ href, text, page }) => ({ page, link: h('a', { href, class: 'nav-link' }, text) }));
  const account = h('div', { class: 'account', 'data-testid': 'account' });

  const mark = (): void => {
    const { page } = parseRoute(location.hash);
    for (const { page: own, link } of links) {
      if (own === page) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    renderAccount();
  };

  async function signOut(): Promise<void> {
    try {
      await app.api.signOut();
    } finally {
      await app.refreshAccount();
    }
    app.announce('Signed out.');
    navigate({ page: 'catalog' });
  }

  function renderAccount(): void {
    const who = app.account.value;
    if (who === null) {
      const route = parseRoute(location.hash);
      const returnTo = route.page === 'sign-in' ? route.returnTo : route;
      const href = hrefOf({ page: 'sign-in', returnTo });
      fill(account, h('a', { class: 'button is-small', href, 'data-testid': 'sign-in-link' }, 'Sign in'));
      return;
    }
    fill(
      account,
      who.balances.map((balance) =>
        h(
          'span',
          { class: 'balance', 'data-testid': 'balance', title: 'Your balance' },
          h('span', { class: 'visually-hidden' }, 'Balance '),
          formatMoney(balance),
        ),
      ),
      h('span', { class: 'who', title: accountKey(who), 'data-testid': 'who' }, who.email),
      h(
        'button',
        {
          type: 'button',
          class: 'button is-quiet is-small',
          onclick: () => void signOut(),
          'data-testid': 'sign-out',
        },
        'Sign out',
      ),
    );
  }

  addEventListener('hashchange', mark);
  app.account.subscribe(renderAccount);
  mark();
  return h(
    'header',
    { class: 'top' },
    h(
      'div',
      { class: 'top-in' },
      h('a', { class: 'brand', href: hrefOf({ page: 'catalog' }) }, logo(), h('span', {}, 'Usher')),
      h(
        'nav',
        { class: 'nav', 'aria-label': 'Pages' },
        links.map(({ link }) => link),
      ),
      account,
    ),
  );
}

/** A ticket with a play sign in it. */
function logo(): SVGElement {
  return svg(
    'svg',
    { viewBox: '0 0 32 32', class: 'logo', 'aria-hidden': 'true' },
    svg('path', {
      class: 'logo-ticket',
      d: 'M3 9.5A2.5 2.5 0 0 1 5.5 7h21A2.5 2.5 0 0 1 29 9.5v3.2a3.5 3.5 0 0 0 0 6.6v3.2a2.5 2.5 0 0 1-2.5 2.5h-21A2.5 2.5 0 0 1 3 22.5v-3.2a3.5 3.5 0 0 0 0-6.6z',
    }),
    svg('path', {
      class: 'logo-play',
      d: 'M13 11.8v8.4a.6.6 0 0 0 .9.5l6.9-4.2a.6.6 0 0 0 0-1l-6.9-4.2a.6.6 0 0 0-.9.5z',
    }),
  );
}
