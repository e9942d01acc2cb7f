/** A viewing whose client shares the ticket's secret: keys by MIKEY, made by the client, and control proofs. */
import type { Clock } from '../../ports.ts';
import { createControlCheck, type ControlledRequest } from '../../rtsp/control.ts';
import type { LineKey } from '../../rtsp/description.ts';
import { createKeyNonce, deriveRtspKeys } from '../../rtsp/keys.ts';
import {
  createSrtpReceiver,
  formatKeyMgmtHeader,
  KeySyntaxError,
  parseKeyMgmtHeader,
  type SrtpReceiver,
} from '../../srtp/index.ts';
import { acceptPskInit, createMikeyReplay, MikeyError } from '../../srtp/mikey/index.ts';

export interface PreShared {
  /** What the client needs to derive the keys; of this description only. */
  readonly nonce: string;
  /**
   * Takes a line's keys from SETUP's `KeyMgmt`.
   * @param ssrc the line's: the client leaves it open, or repeats it
   * @throws KeySyntaxError, MikeyError
   */
  accept(header: string | undefined, ssrc: number): AcceptedKeys;
  /** @throws Denial `proof_missing`, `proof_invalid`, `proof_replayed` */
  requireControl(request: ControlledRequest, proof: string | undefined): void;
}

export interface AcceptedKeys {
  readonly key: LineKey;
  /** Of the client's RTCP, where it has sent a key for it. */
  readonly reports: SrtpReceiver | undefined;
  /** `KeyMgmt` of the answer: that the server, too, has the pre-shared key. */
  readonly answer: string;
}

/** Messages under one pre-shared key: one for each line, and some that were tried in vain. */
const MAX_MESSAGES = 32;

/** @param secret the ticket's, 32 bytes */
export function createPreShared(secret: Uint8Array, clock: Pick<Clock, 'nowMs'>): PreShared {
  const nonce = createKeyNonce();
  const { preShared: psk, control } = deriveRtspKeys(secret, nonce);
  // Messages under this key come to this description only: a memory of its own is all that is needed.
  const replay = createMikeyReplay({ capacity: MAX_MESSAGES, capacityPerOwner: MAX_MESSAGES });
  return {
    nonce,
    requireControl: createControlCheck(control),
    accept(header, ssrc) {
      const [spec, ...more] = parseKeyMgmtHeader(header ?? '');
      if (spec === undefined || more.length > 0) throw new KeySyntaxError('a line has one key');
      const accepted = acceptPskInit(spec.data, {
        ...{ psk, replay, nowMs: clock.nowMs(), ssrcs: new Map([[1, ssrc]]) },
      });
      const { sessions, verification } = accepted;
      const [own, reports, ...others] = sessions;
      // Whatever the client does, no two lines are under the same key, SSRC and numbers: the SSRC is drawn here.
      if (own?.ssrc !== ssrc || own.roc !== 0)
        throw new MikeyError('unsupported', 'the SSRC is not left to the server');
      if (others.length > 0) throw new MikeyError('unsupported', 'a line has two crypto sessions at most');
      if (verification === undefined) throw new MikeyError('unsupported', 'no verification is asked for');
      const { suite, master, mki } = own;
      const named = spec.uri === undefined ? {} : { uri: spec.uri };
      return {
        key: { suite, master, ssrc, ...(mki === undefined ? {} : { mki }) },
        reports: reports && createSrtpReceiver(reports),
        answer: formatKeyMgmtHeader([{ ...named, data: verification }]),
      };
    },
  };
}
