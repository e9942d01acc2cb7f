/** `usher reconcile`: does what is kept agree with the ledger's entries and the receipts? */
import { UsageError, type Command } from './command.ts';

const DIFFERENT = 1;

export const reconcileCommand: Command = {
  usage: '[--json]',
  summary: 'work balances, orders and usage out again and report every difference',
  details: 'The exit status is 1 when there is a difference. It changes nothing.',
  async run(args) {
    const isJson = args.includes('--json');
    if (args.some((arg) => arg !== '--json') || args.length > 1) throw new UsageError('only --json is known');
    const [{ withDatabase }, { CHECKS, reconcile }] = await Promise.all([
      import('./database.ts'),
      import('../ledger/reconcile.ts'),
    ]);
    let status = 0;
    await withDatabase(async (_config, db) => {
      const differences = await reconcile(db);
      if (differences.length > 0) status = DIFFERENT;
      if (isJson) {
        console.log(JSON.stringify({ differences }));
        return;
      }
      for (const { name, about } of CHECKS) {
        const found = differences.filter(({ check }) => check === name);
        console.log(`${found.length === 0 ? 'ok    ' : 'WRONG '} ${name}: ${about}`);
        for (const { id, expected, found: kept } of found)
          console.log(`       ${id}: ${kept}, should be ${expected}`);
      }
    });
    return status;
  },
};
