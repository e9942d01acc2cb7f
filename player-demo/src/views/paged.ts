import type { Paged } from '../account-api.ts';
import { append, h } from '../dom.ts';
import { problemCard } from './notice.ts';

export interface PagedList {
  readonly element: HTMLElement;
  /** Reads the first page anew. */
  reload(): Promise<void>;
}

/**
 * A list that shows its first page, and the next ones when they are asked for.
 * @param body where the entries go, and what is shown in its place when there are none
 */
export function pagedList<T>(
  body: { readonly frame: HTMLElement; readonly rows: HTMLElement; readonly none: string },
  load: (after: string | null) => Promise<Paged<T>>,
  row: (item: T) => HTMLElement,
): PagedList {
  const { frame, rows, none } = body;
  const empty = h('p', { class: 'muted' }, none);
  const problem = h('div', {});
  const more = h(
    'button',
    { type: 'button', class: 'button is-quiet is-small', onclick: () => void show(next) },
    'Show more',
  );
  let next: string | null = null;
  let asked = 0;
  frame.hidden = empty.hidden = more.hidden = true;

  async function show(after: string | null): Promise<void> {
    const mine = ++asked;
    const hadFocus = document.activeElement === more;
    more.disabled = true;
    problem.replaceChildren();
    try {
      const page = await load(after);
      if (mine !== asked) return;
      const shown = page.items.map(row);
      if (after === null) rows.replaceChildren();
      append(rows, shown);
      next = page.next;
      frame.hidden = rows.childElementCount === 0;
      empty.hidden = !frame.hidden;
      // Who goes by keyboard goes on with what has come.
      if (hadFocus) focusFirst(shown[0]);
      more.hidden = next === null;
    } catch (error) {
      if (mine === asked) append(problem, [problemCard(error, () => void show(after))]);
    } finally {
      more.disabled = false;
    }
  }

  return {
    element: h('div', { class: 'paged' }, frame, empty, problem, more),
    reload: () => show(null),
  };
}

function focusFirst(row: HTMLElement | undefined): void {
  if (row === undefined) return;
  const target = row.querySelector<HTMLElement>('summary, a, button') ?? row;
  if (target === row) row.tabIndex = -1;
  target.focus();
}
