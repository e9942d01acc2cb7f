import type { Code } from '../api.ts';
import { h } from '../dom.ts';

/** 16 characters of vouchers, however they are grouped; what is shorter or longer is a promotion's. */
const VOUCHER = /^[0-9a-z]{16}$/i;

/** What a code that was typed is: a voucher's or a promotion's; `null` for none. */
export function readCode(typed: string): Code | null {
  const text = typed.trim();
  if (text === '') return null;
  return VOUCHER.test(text.replace(/[\s-]/g, '')) ? { voucherCode: text } : { promotionCode: text };
}

export interface CodeField {
  readonly element: HTMLElement;
  read(): Code | null;
  clear(): void;
}

/** Where a promotion's or a voucher's code is typed; it counts for the next order. */
export function codeField(): CodeField {
  const input = h('input', {
    type: 'text',
    maxlength: 40,
    autocomplete: 'off',
    spellcheck: 'false',
    autocapitalize: 'characters',
    'data-testid': 'code',
  });
  return {
    element: h('label', { class: 'code' }, h('span', { class: 'muted' }, 'Promotion or voucher code'), input),
    read: () => readCode(input.value),
    clear: () => {
      input.value = '';
    },
  };
}
