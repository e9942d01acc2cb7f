/** The one order server whose tickets a media server takes: enrolled with, pinned, its keys fetched. */
import type { MediaConfig } from './config.ts';
import { enrol } from './enrolment.ts';
import { createKeyVault, type KeyVault } from './key-vault.ts';
import { createPinning, loadPins, type Pins } from './order-server-pins.ts';
import type { Clock, KeySource, Log } from './ports.ts';
import type { ServerKeys } from './server-keys.ts';
import { createRemoteKeySource } from './ticket/index.ts';

/** The vault of the media server's own keys. */
export function mediaKeyVault(config: MediaConfig): KeyVault {
  return createKeyVault({
    setting: 'USHER_MEDIA_MASTER_KEY',
    masterKey: config.USHER_MEDIA_MASTER_KEY,
    oldMasterKey: config.USHER_MEDIA_MASTER_KEY_OLD,
  });
}

interface Options {
  readonly config: MediaConfig;
  readonly serverKeys: ServerKeys;
  readonly clock: Clock;
  readonly log: Log;
}

async function pinsOf({ config, serverKeys, clock, log }: Options): Promise<Pins | null> {
  const { USHER_ORDER_SERVER_URL: issuer, USHER_ENROLMENT_CODE: code, USHER_MEDIA_DATA: dataDir } = config;
  const pins = await loadPins(dataDir);
  if (pins?.issuer === issuer) return pins;
  if (code === undefined) {
    if (pins === null) return null;
    throw new Error(
      'this server has enrolled with another order server than USHER_ORDER_SERVER_URL: enrol with this one, or set that one',
    );
  }
  const account = { orderServerUrl: issuer, serverId: config.USHER_SERVER_ID, clock };
  const enrolled = await enrol({ ...account, code, keys: serverKeys, dataDir });
  log.info(
    { fingerprints: enrolled.fingerprints },
    'enrolled with the order server, whose keys are pinned now',
  );
  return enrolled;
}

/**
 * The keys of the order server that the settings name. With USHER_ENROLMENT_CODE it enrols first, unless it has.
 * Without an enrolment there are no pins: then the order server's URL and its TLS are all that is trusted.
 * @throws Error with one clear line when enrolling fails, or it enrolled with another order server
 */
export async function trustOrderServer(options: Options): Promise<KeySource> {
  const { config, clock, log } = options;
  const issuer = config.USHER_ORDER_SERVER_URL;
  const pins = await pinsOf(options);
  const trust =
    pins === null ? {} : { trust: createPinning({ dataDir: config.USHER_MEDIA_DATA, pins, log }) };
  return createRemoteKeySource({
    issuers: [{ issuer, jwksUrl: `${issuer}/.well-known/jwks.json`, ...trust }],
    clock,
    log,
  });
}
