/** `usher media ...`: a media server enrols with its order server, and changes its keys. */
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { systemClock } from '../../plugin/clock.ts';
import { readMediaConfig, type MediaConfig } from '../../plugin/config.ts';
import { enrol, rotateServerKeys } from '../../plugin/enrolment.ts';
import { Denial } from '../../plugin/errors.ts';
import { loadOrCreateServerKeys, LOOK_EVERY_MS } from '../../plugin/server-keys.ts';
import { mediaKeyVault } from '../../plugin/trusted-order-server.ts';
import { UsageError, type CommandTable } from './command.ts';

/** Time for a running media server to read the next keys: it looks at their file once a second. */
const SETTLE_MS = 3 * LOOK_EVERY_MS;

function settingsOf(args: readonly string[]): NodeJS.ProcessEnv {
  const options = { 'order-server': { type: 'string' }, code: { type: 'string' } } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const { 'order-server': url, code } = values;
    return {
      ...(url === undefined ? {} : { USHER_ORDER_SERVER_URL: url }),
      ...(code === undefined ? {} : { USHER_ENROLMENT_CODE: code }),
    };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : 'wrong arguments');
  }
}

/** A refusal with what is wrong beside it. */
async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof Denial) || error.detail === undefined) throw error;
    throw new Error(`${error.message} (${error.detail})`, { cause: error });
  }
}

const accountOf = (config: MediaConfig) => ({
  orderServerUrl: config.USHER_ORDER_SERVER_URL,
  serverId: config.USHER_SERVER_ID,
  clock: systemClock,
  dataDir: config.USHER_MEDIA_DATA,
});

async function runEnrol(args: readonly string[]): Promise<void> {
  const config = readMediaConfig({ ...process.env, ...settingsOf(args) });
  const code = config.USHER_ENROLMENT_CODE;
  if (code === undefined) throw new UsageError('a code is needed: --code, or USHER_ENROLMENT_CODE');
  const { USHER_MEDIA_DATA: dataDir, USHER_SERVER_ID: id, publicUrl } = config;
  const keys = await loadOrCreateServerKeys(dataDir, id, publicUrl, mediaKeyVault(config));
  const pins = await explained(enrol({ ...accountOf(config), code, keys }));
  console.log(`${id} has enrolled with ${pins.issuer}, whose keys are pinned:`);
  for (const fingerprint of pins.fingerprints) console.log(`  ${fingerprint}`);
}

async function runRotate(args: readonly string[]): Promise<void> {
  if (args.length > 0) throw new UsageError('this command takes no arguments');
  const config = readMediaConfig(process.env);
  const vault = mediaKeyVault(config);
  const settle = () => sleep(SETTLE_MS);
  const changed = await explained(rotateServerKeys({ ...accountOf(config), vault, settle }));
  const at = (seconds: number) => new Date(seconds * 1000).toISOString();
  console.log(`The keys are new. The old one opens tickets until ${at(changed.sealedUntil)}.`);
  console.log(`Every process of this server must have the new key file by ${at(changed.signedUntil)}.`);
}

export const MEDIA_COMMANDS: CommandTable = {
  'media enrol': {
    usage: '[--order-server URL] [--code CODE]',
    summary: 'register this media server with a one-time code, and pin the order server',
    run: runEnrol,
  },
  'media rotate-keys': {
    usage: '',
    summary: "replace this media server's keys; tickets already sold still open",
    run: runRotate,
  },
};
