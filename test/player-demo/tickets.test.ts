import { expect, test } from 'vitest';
import { heldOf, shownOffers } from '../../player-demo/src/views/tickets.ts';
import { NOW_MS, OFFER, TITLE } from './support/shop.ts';

const title = { ...TITLE, categories: [{ id: 'c-1', slug: 'sport', name: 'Sport' }] };
const pass = { ...OFFER, id: 'pass', categoryId: 'c-1' };

function held(id: string, offer: typeof OFFER, seconds = 60) {
  return { id, offer, expiresAt: new Date(NOW_MS + seconds * 1000).toISOString() };
}

test('of a title, the orders of its categories are held that last, the newest of each offer', () => {
  const open = [
    held('over', { ...pass, name: 'over' }, 0),
    held('newer', pass),
    held('older', pass),
    held('of another category', { ...pass, id: 'other', categoryId: 'c-2' }),
  ];
  expect(heldOf(title, open, NOW_MS).map(({ id }) => id)).toEqual(['newer']);
});

test('what is held is shown as it was sold, on sale or not', () => {
  const changed = { ...pass, name: 'changed' };
  expect(shownOffers({ ...title, offers: [OFFER, changed] }, [held('1', pass)])).toEqual([pass, OFFER]);
  expect(shownOffers({ ...title, offers: [OFFER] }, [held('1', pass)])).toEqual([pass, OFFER]);
});
