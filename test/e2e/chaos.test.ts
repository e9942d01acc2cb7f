/** All three servers are killed, again and again, under viewers; by the same code, 100 times: `npm run campaign -- chaos`. */
import { expect, it } from 'vitest';
import { describeChaos, faultsOfChaos, runChaos } from '../../tools/campaign/chaos.ts';
import { VICTIMS } from '../../tools/campaign/chaos-servers.ts';

/** Three, three and four of them. */
const SEED = 10;

it('ten kills of media server, order server and PostgreSQL leave the books right', async () => {
  const result = await runChaos({ kills: 10, viewers: 10, seed: SEED, pauseMs: 300, withinMs: 60_000 });
  expect(faultsOfChaos(result), describeChaos(result).join('\n')).toEqual([]);
  for (const victim of VICTIMS) expect(result.kills[victim]).toBeGreaterThan(0);
  expect(result.truth.watched.filter(({ countedMs }) => countedMs > 0).length).toBeGreaterThan(10);
});
