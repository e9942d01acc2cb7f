import { describe, expect, it } from 'vitest';
import type { Offer } from '../../player-demo/src/api.ts';
import { Problem } from '../../player-demo/src/problems.ts';
import { createRenewals, isRenewable, type Ending } from '../../player-demo/src/renewal.ts';
import { NOW_MS, OFFER } from './support/shop.ts';

const FREE: Offer = { ...OFFER, price: { amountMinor: 0, currency: 'EUR' }, validSeconds: 3600 };
const PAID: Offer = { ...OFFER, validSeconds: 3600 };

function setUp(offer: Offer | null, answers: (Error | null)[] = [null], leftSeconds = 600) {
  const world = {
    leftMs: leftSeconds * 1000,
    nowMs: NOW_MS,
    mayPay: false,
    tries: 0,
    boughtElsewhere: false,
  };
  const endings: (Ending | null)[] = [];
  const renewals = createRenewals({
    leftMs: () => world.leftMs,
    offer,
    mayPay: () => world.mayPay,
    nowMs: () => world.nowMs,
    onEnding: (ending) => void endings.push(ending),
    async renew() {
      world.tries += 1;
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      world.leftMs += 3_600_000;
    },
    async takeOver() {
      if (world.boughtElsewhere) world.leftMs += 3_600_000;
      return world.boughtElsewhere;
    },
  });
  /** Lets seconds pass, with a look after each. */
  async function pass(seconds: number): Promise<void> {
    for (let left = seconds; left > 0; left--) {
      world.nowMs += 1000;
      world.leftMs = Math.max(0, world.leftMs - 1000);
      await renewals.look();
    }
  }
  return { world, endings, renewals, pass, last: () => endings.at(-1) };
}

describe('a ticket that is about to end', () => {
  it('is warned of from five minutes before, and not earlier', async () => {
    const { pass, last } = setUp(null);
    await pass(299);
    expect(last()).toBeNull();
    await pass(1);
    expect(last()).toEqual({ leftMs: 300_000, isRenewing: false, failure: null });
  });

  it.each([
    [20, 5],
    [400, 100],
    [86_400, 300],
  ])('that lasts %i s is warned of %i s before', async (validSeconds, beforeSeconds) => {
    const { pass, last } = setUp({ ...PAID, validSeconds }, [], beforeSeconds + 2);
    await pass(1);
    expect(last()).toBeNull();
    await pass(1);
    expect(last()?.leftMs).toBe(beforeSeconds * 1000);
  });

  it('is renewed a minute before, once, when that is free; the warning goes', async () => {
    const { world, endings, pass, last } = setUp(FREE);
    await pass(539);
    expect(world.tries).toBe(0);
    await pass(30);
    expect(world.tries).toBe(1);
    expect(endings.filter((ending) => ending?.isRenewing === true)).toHaveLength(1);
    expect(last()).toBeNull();
  });

  it('is not renewed by itself where that costs something and nobody has agreed to it', async () => {
    const { world, renewals, pass, last } = setUp(PAID);
    await pass(600);
    expect([world.tries, last()?.leftMs]).toEqual([0, 0]);
    await renewals.renewNow();
    expect(world.tries).toBe(0);
  });

  it('is renewed by itself for money when the viewer wants that, and at once when he asks for it', async () => {
    const agreed = setUp(PAID);
    agreed.world.mayPay = true;
    await agreed.pass(540);
    expect(agreed.world.tries).toBe(1);
    const asked = setUp(PAID);
    await asked.pass(310);
    await asked.renewals.renewNow();
    expect([asked.world.tries, asked.last()]).toEqual([1, null]);
  });

  it('is never renewed where it cannot be', async () => {
    const { world, renewals, pass } = setUp(null);
    world.mayPay = true;
    await pass(600);
    await renewals.renewNow();
    expect(world.tries).toBe(0);
  });

  it('is tried again every five seconds after what passes by itself', async () => {
    const { world, pass, last } = setUp(FREE, [
      new Problem('shop_unreachable'),
      new Problem('overloaded'),
      null,
    ]);
    await pass(540);
    expect([world.tries, last()?.failure]).toEqual([1, expect.any(Problem)]);
    await pass(4);
    expect(world.tries).toBe(1);
    await pass(6);
    expect([world.tries, last()]).toEqual([3, null]);
  });

  it('is not tried again by itself after a refusal, but when the viewer asks', async () => {
    const { world, renewals, pass, last } = setUp(FREE, [new Problem('funds_insufficient'), null]);
    await pass(580);
    expect([world.tries, (last()?.failure as Problem).code]).toEqual([1, 'funds_insufficient']);
    await renewals.renewNow();
    expect([world.tries, last()]).toEqual([2, null]);
  });

  it('is not asked for again after the shop refused to renew it at all', async () => {
    const { world, pass } = setUp(FREE, [new Problem('not_on_sale'), null]);
    await pass(600);
    expect(world.tries).toBe(1);
  });

  it('goes on with what another tab has bought, without being asked, and without buying', async () => {
    const { world, endings, pass, last } = setUp(PAID);
    await pass(541);
    expect(last()).not.toBeNull();
    world.boughtElsewhere = true;
    await pass(1);
    expect([world.tries, last()]).toEqual([0, null]);
    expect(endings.some((ending) => ending?.isRenewing === true)).toBe(false);
  });

  it('says still why it could not be renewed while no other tab has done so either', async () => {
    const { world, renewals, pass, last } = setUp(PAID, [new Problem('shop_unreachable')], 30);
    await renewals.renewNow();
    await pass(10);
    expect((last()?.failure as Problem).code).toBe('shop_unreachable');
    world.boughtElsewhere = true;
    await pass(1);
    expect(last()).toBeNull();
  });

  it('is not ordered twice at once', async () => {
    const { world, renewals } = setUp(PAID, [null, null], 200);
    await Promise.all([renewals.renewNow(), renewals.renewNow()]);
    expect(world.tries).toBe(1);
  });
});

it.each<[string, Offer | undefined, boolean]>([
  ['sold for a time', OFFER, true],
  ['sold until a moment', { ...OFFER, validSeconds: null, validUntil: '2030-01-01T00:00:00Z' }, false],
  ['that is a preview', { ...FREE, preview: true }, false],
  ['no longer sold', undefined, false],
])('an offer %s can be renewed: %s', (_name, offer, expected) => {
  expect(isRenewable(offer)).toBe(expected);
});
