import { h } from '../dom.ts';

/** As the shop asks of a new password. */
export const MIN_PASSWORD_CHARS = 10;

/** An input with its label, and what helps to fill it in. */
export function field(label: string, input: HTMLInputElement, hint: HTMLElement | null = null): HTMLElement {
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, hint);
}
