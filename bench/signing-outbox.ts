/** Everything that is done for receipts but their way over the network. */
import { systemClock as clock } from '../plugin/clock.ts';
import { createOutbox, type Outbox } from '../plugin/receipts/outbox.ts';
import { generateSigningKey, signServerMessage } from '../plugin/ticket/index.ts';
import { silentLog as log } from '../test/support/doubles.ts';
import { ISSUER, SERVER_ID } from '../test/support/tickets.ts';

/** Receipts are gathered and signed; what would be sent is acknowledged. */
export async function createSigningOutbox(): Promise<Outbox> {
  const key = await generateSigningKey();
  return createOutbox({
    log,
    delivery: {
      async deliver(receipts) {
        const typ = 'receipts+jwt';
        await signServerMessage({ typ, payload: { receipts }, iss: SERVER_ID, aud: ISSUER, key, clock });
        return { stored: receipts.length, refused: [] };
      },
    },
  });
}
