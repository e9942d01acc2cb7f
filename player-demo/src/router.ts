/** Where the page is; kept in the fragment, so that any server which serves one file can serve this page. */
export type Route =
  | { readonly page: 'catalog' }
  | { readonly page: 'title'; readonly id: string }
  | { readonly page: 'usage' }
  | { readonly page: 'sign-in'; readonly returnTo: Route };

export function parseRoute(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
  const [page, id] = path.split('/', 2).map(decode);
  if (page === 'title' && id !== undefined && id !== '') return { page: 'title', id };
  if (page === 'usage') return { page: 'usage' };
  if (page === 'sign-in') {
    const returnTo = parseRoute(new URLSearchParams(query).get('to') ?? '');
    return { page: 'sign-in', returnTo: returnTo.page === 'sign-in' ? { page: 'catalog' } : returnTo };
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
