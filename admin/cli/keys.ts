/** `usher keys ...`: the keys that sign tickets, and the master keys that private keys are encrypted under. */
import { parseArgs } from 'node:util';
import { systemClock } from '../../plugin/clock.ts';
import { generateMasterKey } from '../../plugin/key-vault.ts';
import { UsageError, type CommandTable } from './command.ts';

const MAX_LISTED = 100;

function toUsage(error: unknown): never {
  throw new UsageError(error instanceof Error ? error.message : 'wrong arguments');
}

function parseRotate(args: readonly string[]): { alg: 'Ed25519' | 'ES256'; compromised: boolean } {
  const options = { alg: { type: 'string' }, compromised: { type: 'boolean' } } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const { alg = 'Ed25519', compromised = false } = values;
    if (alg !== 'Ed25519' && alg !== 'ES256') throw new TypeError('--alg is Ed25519 or ES256');
    return { alg, compromised };
  } catch (error) {
    return toUsage(error);
  }
}

function refuseArguments(args: readonly string[]): void {
  if (args.length > 0) throw new UsageError('this command takes no arguments');
}

async function rotate(args: readonly string[]): Promise<void> {
  const { alg, compromised } = parseRotate(args);
  const [{ withDatabase }, { keyVaultOf, loadAuthority }, { auditAs, COMMAND_LINE }, { newId }] =
    await Promise.all([
      import('./database.ts'),
      import('../trust/signing-keys.ts'),
      import('../audit/audit.ts'),
      import('../ids.ts'),
    ]);
  const complain = (_fields: object, message: string) => console.error(message);
  await withDatabase(async (config, db) => {
    const authority = await loadAuthority(db, {
      issuer: config.publicUrl,
      clock: systemClock,
      vault: keyVaultOf(config),
      demo: config.demo,
      log: { warn: complain, error: complain },
    });
    const row = await authority.rotate(alg, compromised, (tx, { kid }) =>
      auditAs(
        tx,
        COMMAND_LINE,
        {
          action: 'signing_key.rotate',
          object: { type: 'signing_key', id: kid },
          before: null,
          after: { alg, compromised },
        },
        { requestId: newId(), nowMs: Date.now() },
      ),
    );
    console.log(`${row.kid} (${row.alg}) signs from ${row.signsFrom.toISOString()} on`);
  });
}

async function list(args: readonly string[]): Promise<void> {
  refuseArguments(args);
  const [{ withDatabase }, { findKeyHistory, stateOf }] = await Promise.all([
    import('./database.ts'),
    import('../trust/key-rows.ts'),
  ]);
  await withDatabase(async (_config, db) => {
    const rows = await findKeyHistory(db, MAX_LISTED);
    for (const row of rows) {
      const retires = row.retiredAt === null ? '' : `, retires ${row.retiredAt.toISOString()}`;
      const state = stateOf(row, rows, Date.now());
      console.log(`${row.kid}  ${row.alg}  ${state}  signs from ${row.signsFrom.toISOString()}${retires}`);
    }
  });
}

export const KEY_COMMANDS: CommandTable = {
  'keys list': { usage: '', summary: 'the keys that sign tickets', run: list },
  'keys rotate': {
    usage: '[--alg Ed25519|ES256] [--compromised]',
    summary: 'make a new key that signs tickets; the old ones stay until their tickets end',
    run: rotate,
  },
  'keys generate-master': {
    usage: '',
    summary: 'print a new master key, for USHER_MASTER_KEY or USHER_MEDIA_MASTER_KEY',
    async run(args) {
      refuseArguments(args);
      console.log(generateMasterKey());
    },
  },
};
