import type { TestCard } from '../api.ts';
import { h } from '../dom.ts';

export interface PaymentField {
  readonly element: HTMLElement;
  /** The token of the card that pays; `null`: the balance does. */
  read(): string | null;
  /** Who is signed out has neither balance nor card. */
  show(isSignedIn: boolean): void;
  /** Offers cards beside the balance. */
  offer(cards: readonly TestCard[]): void;
}

const BALANCE = '';

/**
 * What pays for the next order. Card numbers have no place here: where a shop of its own would show the form of its
 * payment provider, which hands it a token, this one names the test cards and takes theirs.
 */
export function paymentField(): PaymentField {
  let offered: readonly TestCard[] = [];
  let isSignedIn = false;
  const does = h('span', {});
  const note = h(
    'p',
    { class: 'card-note', id: 'card-note', 'data-testid': 'card-note' },
    h('strong', {}, 'A test: no money moves. '),
    'No card number is asked for. A real shop shows its payment provider’s form here, which hands it a token. ',
    does,
  );
  note.hidden = true;
  const select = h(
    'select',
    { 'data-testid': 'pay-with', 'aria-describedby': note.id, onchange: explain },
    h('option', { value: BALANCE }, 'Your balance'),
  );
  const element = h(
    'div',
    { class: 'payment' },
    h('label', { class: 'code' }, h('span', { class: 'muted' }, 'Pay with'), select),
    note,
  );

  function explain(): void {
    const card = offered.find(({ token }) => token === select.value);
    note.hidden = card === undefined;
    does.textContent = card === undefined ? '' : `This card ${card.does}.`;
  }
  function render(): void {
    element.hidden = !isSignedIn || offered.length === 0;
  }
  render();
  return {
    element,
    read: () => (element.hidden || select.value === BALANCE ? null : select.value),
    show(next) {
      isSignedIn = next;
      render();
    },
    offer(cards) {
      offered = cards;
      const options = cards.map(({ token, name }) => h('option', { value: token }, name));
      if (options.length > 0) select.append(h('optgroup', { label: 'Test cards' }, options));
      render();
    },
  };
}
