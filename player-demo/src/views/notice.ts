import { h } from '../dom.ts';
import { asProblem, wordsFor } from '../problems.ts';
import { TicketMismatch } from '../ticket.ts';

/** Title and text for whatever was thrown. */
export function describeError(error: unknown): { readonly title: string; readonly text: string } {
  if (error instanceof TicketMismatch) return { title: 'Ticket refused', text: error.message };
  const problem = asProblem(error);
  return wordsFor(problem.code);
}

/** What went wrong, with a button to try again. */
export function problemCard(error: unknown, retry: () => void): HTMLElement {
  const { title, text } = describeError(error);
  return h(
    'div',
    { class: 'notice', role: 'alert' },
    h('strong', {}, title),
    h('p', {}, text),
    h('button', { type: 'button', class: 'button is-quiet', onclick: retry }, 'Try again'),
  );
}
