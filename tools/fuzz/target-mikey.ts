/** MIKEY messages of a client that has no key, and of one that plays tricks. */
import {
  acceptPskInit,
  buildMikey,
  buildNullMessage,
  buildPskInit,
  createMikeyReplay,
  MikeyError,
  parseKeyData,
  parseMikey,
  readNullMessage,
} from '../../plugin/srtp/mikey/index.ts';
import { must, type FuzzTarget } from './target.ts';

const NOW_MS = Date.UTC(2026, 0, 1);
const PSK = Buffer.alloc(32, 'pre-shared');
const SUITE = 'AES_CM_128_HMAC_SHA1_80';
const MASTER = { key: Buffer.alloc(16, 1), salt: Buffer.alloc(14, 2) };
const FIXED = { csbId: 7, rand: Buffer.alloc(16, 3) };

/** @throws what is no MikeyError */
function refused(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (!(error instanceof MikeyError)) throw error;
    return true;
  }
}

export function createTarget(): FuzzTarget {
  const sessions = [{ ssrc: 1, suite: SUITE } as const];
  const init = buildPskInit({
    psk: PSK,
    sessions,
    nowMs: NOW_MS,
    requestVerification: true,
    tgk: PSK,
    ...FIXED,
  });
  const plain = buildNullMessage({
    suite: SUITE,
    master: MASTER,
    sessions: [{ ssrc: 1 }],
    nowMs: NOW_MS,
    ...FIXED,
  });
  const answer = acceptPskInit(init.message, { psk: PSK, nowMs: NOW_MS, replay: createMikeyReplay() });
  /** Shared by all inputs, as a server's is by all clients. */
  const replay = createMikeyReplay({ capacity: 1000 });
  return {
    take(input) {
      refused(() => readNullMessage(input));
      refused(() => parseKeyData(input));
      if (!input.equals(init.message)) {
        const accept = (): unknown => acceptPskInit(input, { psk: PSK, nowMs: NOW_MS, replay });
        must(refused(accept), 'nobody without the key is let in');
      }
      const message = parseMikey(input);
      refused(() => parseMikey(buildMikey(message)));
    },
    refusals: [MikeyError],
    seeds: [init.message, plain, ...(answer.verification === undefined ? [] : [answer.verification])],
    folders: [],
    words: [],
  };
}
