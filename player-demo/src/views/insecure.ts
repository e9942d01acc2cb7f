import { h } from '../dom.ts';

/** Shown instead of everything else where the browser gives the page no WebCrypto. */
export function insecureView(): HTMLElement {
  const port = location.port === '' ? '' : `:${location.port}`;
  return h(
    'main',
    { class: 'page is-narrow', id: 'main' },
    h(
      'div',
      { class: 'panel', role: 'alert', 'data-testid': 'insecure' },
      h('h1', {}, 'This page needs a secure connection'),
      h(
        'p',
        {},
        'Tickets are tied to a key that your browser makes and guards. Browsers do that only on ',
        h('strong', {}, 'https'),
        ' or on the machine itself, and this page came over plain http from another machine.',
      ),
      h('h2', {}, 'Two ways to get one'),
      h(
        'ol',
        { class: 'steps' },
        h('li', {}, 'On the machine that runs the server, open ', h('code', {}, `http://localhost${port}/`)),
        h(
          'li',
          {},
          'Or start the server with ',
          h('code', {}, 'USHER_TLS=self-signed'),
          ' and ',
          h('code', {}, `USHER_PUBLIC_URL=https://${location.hostname}${port}`),
          ', open ',
          h('code', {}, `https://${location.hostname}${port}/`),
          ' and accept its certificate once.',
        ),
      ),
    ),
  );
}
