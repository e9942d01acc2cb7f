/** Ways to pay. */
import { TEST_CARDS } from '../payments/test-card.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';

interface TestCard {
  readonly token: string;
  readonly name: string;
  readonly does: string;
}

const CARDS: readonly TestCard[] = Object.entries(TEST_CARDS).map(([token, card]) => ({ token, ...card }));

const TestCardType = builder.objectRef<TestCard>('TestCard').implement({
  description: 'A card that moves no money, to try orders with.',
  fields: (t) => ({
    token: t.exposeString('token', { description: 'For `PlaceOrderInput.cardToken`.' }),
    name: t.exposeString('name'),
    does: t.exposeString('does', { description: 'Such as "is declined at once".' }),
  }),
});

builder.queryField('testCards', (t) =>
  t.field({
    ...allow('anyone'),
    type: [TestCardType],
    description: 'Cards that move no money, where there are any: in the demo, or where the settings say so.',
    resolve: (_root, _args, { services }) => (services.testCards ? CARDS : []),
  }),
);
