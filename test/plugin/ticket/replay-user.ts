/** A process that uses ids of a shared memory: argv is the directory and how many; answers which it was the first to use. */
import { systemClock as clock } from '../../../plugin/clock.ts';
import { createNonces, openSharedReplay } from '../../../plugin/ticket/index.ts';

const [, , directory = '', count = '0'] = process.argv;
const { replay, secret } = openSharedReplay({ directory, clock });
const nonce = createNonces({ secret, clock, periodSeconds: 1e9 }).current();
process.send?.({ ready: true });
process.once('message', ({ atSeconds }: { atSeconds: number }) => {
  const won: number[] = [];
  const failed: unknown[] = [];
  for (let id = 0; id < Number(count); id += 1) {
    try {
      replay.use(`proof ${String(id)}`, 'proof_replayed', atSeconds);
      won.push(id);
    } catch (error) {
      if ((error as { code?: string }).code !== 'proof_replayed') failed.push(String(error));
    }
  }
  process.send?.({ won, failed, nonce }, () => process.exit(0));
});
