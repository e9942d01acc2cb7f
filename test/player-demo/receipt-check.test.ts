import { expect, test } from 'vitest';
import { createReceiptCheck } from '../../player-demo/src/receipt-check.ts';
import type { EndReason, Receipt } from '../../plugin/contract.ts';
import { createReceiptChain } from '../../plugin/receipts/chain.ts';
import { signReceiptHeads } from '../../plugin/receipts/heads.ts';
import { generateSigningKey } from '../../plugin/ticket/index.ts';

const key = await generateSigningKey();
const otherKey = await generateSigningKey();
const clock = { nowMs: () => 1_800_000_000_000 };

function chain(session: string, count: number, reason?: EndReason): Receipt[] {
  const { next } = createReceiptChain({ session, ticket: 't', uri: '/live/demo', startedAt: 100 });
  return Array.from({ length: count }, (_each, at) =>
    next({
      at: 105 + at * 5,
      mediaMs: 5000 * (at + 1),
      bytes: 1000 * (at + 1),
      ...(reason !== undefined && at === count - 1 ? { reason } : {}),
    }),
  );
}

const answer = (receipts: readonly Receipt[], by = key, signed = receipts): object => ({
  receipts,
  ...signReceiptHeads(signed, { serverId: 'ss', key: by, clock }),
});

const five = chain('s1', 5);

test('what holds together does, while it grows, over a renewal, and without its beginning', async () => {
  const { look } = createReceiptCheck();
  expect(await look({ receipts: [] })).toBeNull();
  expect(await look(answer(five.slice(0, 3)))).toBeNull();
  expect(await look(answer(five))).toBeNull();
  const old = chain('s2', 3, 'replaced');
  const two = [...old, ...chain('s3', 2)];
  expect(await createReceiptCheck().look(answer(two))).toBeNull();
  expect(await createReceiptCheck().look(answer(five.slice(2)))).toBeNull();
});

const changed = (at: number, change: Partial<Receipt>): Receipt[] =>
  five.map((receipt, index) => (index === at ? { ...receipt, ...change } : receipt));

test.each<[string, object]>([
  ['a receipt is missing', answer([...five.slice(0, 2), ...five.slice(3)])],
  ['a receipt does not follow the one before it', answer(changed(2, { bytes: 2500 }))],
  ['a receipt says less than the one before it', answer(changed(4, { mediaMs: 1 }))],
  ['the receipts are not signed', { receipts: five }],
  ['the signature is of other receipts', answer(five, key, five.slice(0, 4))],
  ['the signature is of other receipts', answer(five, key, changed(4, { bytes: 9000 }))],
  ['the signature is not good', { ...answer(five), key: otherKey.publicJwk }],
  ['the signature is not good', { ...answer(five), heads: 'a.b.c' }],
])('%s', async (verdict, body) => {
  expect(await createReceiptCheck().look(body)).toBe(verdict);
});

test('what was seen before cannot be changed, taken back, or signed with another key', async () => {
  const seen = async () => {
    const check = createReceiptCheck();
    expect(await check.look(answer(five.slice(0, 4)))).toBeNull();
    return check;
  };
  const other = createReceiptChain({ session: 's1', ticket: 't', uri: '/live/demo', startedAt: 100 });
  const rewritten = five.map(({ at, mediaMs, bytes }) => other.next({ at, mediaMs, bytes: bytes - 1 }));
  expect(await (await seen()).look(answer(rewritten))).toBe('a receipt has been changed');
  expect(await (await seen()).look(answer(five.slice(0, 3)))).toBe('a receipt has been taken back');
  expect(await (await seen()).look(answer(five, otherKey))).toBe(
    'they are signed with another key than before',
  );
});
