import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hrefOf, parseRoute, type Route } from '../../player-demo/src/router.ts';

const page: fc.Arbitrary<Route> = fc.oneof(
  fc.constant<Route>({ page: 'catalog' }),
  fc.constant<Route>({ page: 'usage' }),
  fc.constant<Route>({ page: 'account' }),
  fc.string({ minLength: 1, unit: 'grapheme' }).map((id): Route => ({ page: 'title', id })),
);

const beforeSignIn: fc.Arbitrary<Route> = fc.oneof(
  fc.constant<Route>({ page: 'forgot' }),
  fc.stringMatching(/^[A-Za-z0-9_-]{43}$/).map((token): Route => ({ page: 'reset', token })),
);

test('every route survives its address', () => {
  const route = fc.oneof(
    page,
    beforeSignIn,
    page.map((returnTo): Route => ({ page: 'sign-in', returnTo })),
  );
  fc.assert(
    fc.property(route, (each) => {
      expect(parseRoute(hrefOf(each))).toEqual(each);
    }),
  );
});

test('whatever the address says, there is a page for it', () => {
  fc.assert(
    fc.property(fc.string(), (hash) => {
      const pages = ['catalog', 'title', 'usage', 'account', 'sign-in', 'forgot', 'reset'];
      expect(pages).toContain(parseRoute(hash).page);
    }),
  );
});

test.each([
  '#/sign-in?to=%23%2Fsign-in',
  '#/sign-in?to=%23%2Freset%2Fx',
  '#/sign-in?to=https%3A%2F%2Felsewhere.example%2F',
  '#/sign-in',
])('signing in by %s leads to the catalog and nowhere else', (hash) => {
  expect(parseRoute(hash)).toEqual({ page: 'sign-in', returnTo: { page: 'catalog' } });
});
