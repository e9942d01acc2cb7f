/** Composition: the only module that knows them all. */
import { createApi } from './graphql.ts';
import type { Account } from './api.ts';
import type { App, View } from './app.ts';
import { fill, h, signal } from './dom.ts';
import { parseRoute, type Route } from './router.ts';
import { openTicketStore } from './store.ts';
import { accountView } from './views/account.ts';
import { catalogView } from './views/catalog.ts';
import { header } from './views/header.ts';
import { insecureView } from './views/insecure.ts';
import { forgotView, resetView } from './views/password.ts';
import { signInView } from './views/sign-in.ts';
import { titleView } from './views/title.ts';
import { usageView } from './views/usage.ts';
import type { Watch } from './watch.ts';

const root = document.querySelector('#app') ?? document.body;

async function start(): Promise<void> {
  // Also false where an old browser lacks WebCrypto in spite of https.
  if (!isSecureContext || !('subtle' in crypto)) {
    fill(root, insecureView());
    return;
  }
  const api = createApi(fetch.bind(globalThis));
  const announcer = h('div', {
    class: 'visually-hidden',
    role: 'status',
    'aria-live': 'polite',
    'data-testid': 'announcer',
  });
  const account = signal<Account | null>(null);
  const app: App = {
    api,
    store: await openTicketStore(() => Date.now()),
    account,
    watching: signal<Watch | null>(null),
    refreshAccount: async () => account.set(await api.me()),
    announce: (text) => (announcer.textContent = text),
  };
  // Known before the first page is drawn, so that nothing changes under the viewer's hands.
  await app.refreshAccount().catch(() => undefined);
  const main = h('main', { id: 'main' });
  fill(
    root,
    h('a', { class: 'skip', href: '#main', onclick: skipTo(main) }, 'Skip to content'),
    header(app),
    main,
    announcer,
  );
  showPages(app, main);
  addEventListener('pagehide', () => app.watching.value?.leave());
  exposeForDebugging(app);
}

/** The fragment is the router's, so the skip link moves the focus by itself. */
function skipTo(main: HTMLElement) {
  return (event: Event): void => {
    event.preventDefault();
    main.querySelector<HTMLElement>('h1, a, button')?.focus();
  };
}

function showPages(app: App, main: HTMLElement): void {
  let view: View | null = null;
  const show = (): void => {
    const isFirst = view === null;
    view?.dispose?.();
    view = viewOf(app, parseRoute(location.hash));
    document.title = `${view.title} · Usher`;
    fill(main, view.element);
    if (isFirst) return;
    scrollTo({ top: 0 });
    // Screen readers hear where they are now.
    view.element.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true });
  };
  addEventListener('hashchange', show);
  show();
}

function viewOf(app: App, route: Route): View {
  switch (route.page) {
    case 'catalog':
      return catalogView(app);
    case 'title':
      return titleView(app, route.id);
    case 'usage':
      return usageView(app);
    case 'account':
      return accountView(app);
    case 'sign-in':
      return signInView(app, route.returnTo);
    case 'forgot':
      return forgotView(app);
    case 'reset':
      return resetView(app, route.token);
  }
}

/**
 * A debugging aid: `usher.peerConnection` in the browser's console is the current RTCPeerConnection (for
 * `getStats()`), `null` when nothing plays. Read-only.
 */
function exposeForDebugging(app: App): void {
  Object.defineProperty(globalThis, 'usher', {
    value: Object.freeze({
      get peerConnection() {
        return app.watching.value?.session?.peerConnection ?? null;
      },
    }),
  });
}

void start();
