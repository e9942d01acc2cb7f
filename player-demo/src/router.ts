/** Where the page is; kept in the fragment, so that any server which serves one file can serve this page. */
export type Route =
  | { readonly page: 'catalog' }
  | { readonly page: 'title'; readonly id: string }
  | { readonly page: 'usage' }
  | { readonly page: 'account' }
  | { readonly page: 'sign-in'; readonly returnTo: Route }
  | { readonly page: 'forgot' }
  /** Where the link of a mail leads; its token is in the fragment, which no server sees. */
  | { readonly page: 'reset'; readonly token: string };

/** Pages that nobody goes back to when he has signed in. */
const BEFORE_SIGN_IN: ReadonlySet<Route['page']> = new Set(['sign-in', 'forgot', 'reset']);

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page, id] = path.split('/', 2).map(decode);
  if (page === 'title' && id !== undefined && id !== '') return { page: 'title', id };
  if (page === 'usage') return { page: 'usage' };
  if (page === 'account') return { page: 'account' };
  if (page === 'forgot') return { page: 'forgot' };
  if (page === 'reset' && id !== undefined && id !== '') return { page: 'reset', token: id };
  if (page === 'sign-in') {
    const returnTo = parseRoute(new URLSearchParams(query).get('to') ?? '');
    return { page: 'sign-in', returnTo: BEFORE_SIGN_IN.has(returnTo.page) ? { page: 'catalog' } : returnTo };
  }
  return { page: 'catalog' };
}

export function hrefOf(route: Route): string {
  switch (route.page) {
    case 'catalog':
      return '#/';
    case 'title':
      return `#/title/${encodeURIComponent(route.id)}`;
    case 'usage':
      return '#/usage';
    case 'account':
      return '#/account';
    case 'forgot':
      return '#/forgot';
    case 'reset':
      return `#/reset/${encodeURIComponent(route.token)}`;
    case 'sign-in':
      return `#/sign-in?to=${encodeURIComponent(hrefOf(route.returnTo))}`;
  }
}

export function navigate(route: Route): void {
  location.hash = hrefOf(route);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
