/** What a subscriber has been shown, so that its end is not missed with the event that told it. */
import type { Subscription } from './follow.ts';

/** Things remembered for one subscriber; of more, the oldest are forgotten. */
const MAX_REMEMBERED = 1000;

/** The same, where what may have been missed includes what was shown and had not ended. */
export function withShown<T extends { readonly id: string }>(
  { missed, load }: Pick<Subscription<T>, 'missed' | 'load'>,
  hasEnded: (thing: T) => boolean,
): Pick<Subscription<T>, 'missed' | 'load'> {
  // A Set keeps the order of insertion.
  const shown = new Set<string>();
  return {
    missed: async () => [...new Set([...shown, ...(await missed())])],
    load: async (ids) => {
      const things = await load(ids);
      for (const id of ids) shown.delete(id);
      for (const thing of things) if (!hasEnded(thing)) shown.add(thing.id);
      for (const id of shown) {
        if (shown.size <= MAX_REMEMBERED) break;
        shown.delete(id);
      }
      return things;
    },
  };
}
