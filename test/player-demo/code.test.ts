import { expect, test } from 'vitest';
import { readCode } from '../../player-demo/src/views/code.ts';

test.each([
  ['', null],
  ['   ', null],
  ['USHER20', { promotionCode: 'USHER20' }],
  [' usher20 ', { promotionCode: 'usher20' }],
  ['7K3M-9QRT-XW2P-ABCD', { voucherCode: '7K3M-9QRT-XW2P-ABCD' }],
  ['7k3m 9qrt xw2p abcd', { voucherCode: '7k3m 9qrt xw2p abcd' }],
  ['7K3M-9QRT-XW2P-ABC', { promotionCode: '7K3M-9QRT-XW2P-ABC' }],
])('what is typed as %j is read as %j', (typed, code) => {
  expect(readCode(typed)).toEqual(code);
});
