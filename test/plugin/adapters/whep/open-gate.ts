/** A gate that lets everyone in, and remembers whom and how. */
import { UNLIMITED_PLAY } from '../../../../plugin/rights/index.ts';
import type { WhepGate, WhepViewing } from '../../../../plugin/adapters/whep.ts';
import type {
  AccessRequest,
  EndReason,
  Grant,
  Receipt,
  RenewalRequest,
  SessionRequest,
} from '../../../../plugin/contract.ts';
import type { Session } from '../../../../plugin/session.ts';

export interface OpenGate<V extends WhepViewing> extends WhepGate {
  readonly requests: AccessRequest[];
  readonly proofs: SessionRequest[];
  readonly renewals: RenewalRequest[];
  readonly sessions: Session<V>[];
  last(): Session<V>;
  /** That every session has lost its media: the next admission is one of the last session, with media anew. */
  mediaLost: boolean;
  /** Overwrite to refuse. */
  check: (request: AccessRequest | SessionRequest) => void;
  onSession: (session: Session<V>) => void;
  receipts: Receipt[];
}

export const GRANT: Grant = {
  sessionId: '01890a5d-ac96-774b-bcce-b302099a8057',
  ticketId: '01890a5d-ac96-774b-bcce-b302099a8058',
  issuer: 'https://os.example',
  subject: 'pseudonym',
  uri: '/live/test',
  rights: UNLIMITED_PLAY,
  ask: { action: 'play' },
  jkt: null,
  attempt: null,
  expiresAtSeconds: 4_000_000_000,
  key: null,
  watermark: null,
};

export function openGate<V extends WhepViewing>(): OpenGate<V> {
  const attempts = new Map<string, Session<V>>();
  const gate: OpenGate<V> = {
    requests: [],
    proofs: [],
    renewals: [],
    sessions: [],
    receipts: [],
    mediaLost: false,
    check: () => undefined,
    onSession: () => undefined,
    last() {
      const session = gate.sessions.at(-1);
      if (session === undefined) throw new Error('nobody has been admitted');
      return session;
    },
    nonce: () => 'nonce-1',
    async admit(request, media) {
      gate.requests.push(request);
      gate.check(request);
      // Here the proof stands for the attempt that it would carry.
      const attempt = `${request.proof} ${request.bodyHash}`;
      const before = request.proof === undefined ? undefined : attempts.get(attempt);
      if (before !== undefined) return before as Session<never>;
      if (gate.mediaLost) {
        gate.mediaLost = false;
        await media.open(GRANT);
        return gate.last() as Session<never>;
      }
      const viewing = await media.open(GRANT);
      const ended = Promise.withResolvers<EndReason>();
      let over = false;
      const number = gate.sessions.length;
      const session = {
        id: `session-${number}`,
        token: `token-of-session-${number}`,
        grant: GRANT,
        viewing,
        ended: ended.promise,
        isEnded: () => over,
        isMediaLost: () => gate.mediaLost,
        move: () => Promise.resolve(false),
        renew: () => Promise.resolve(false),
        async end(reason: EndReason) {
          over = true;
          viewing.close(reason);
          ended.resolve(reason);
        },
        receipts: () => gate.receipts,
      };
      viewing.onGone((reason) => void session.end(reason));
      const known = session as unknown as Session<V>;
      attempts.set(attempt, known);
      gate.sessions.push(known);
      gate.onSession(known);
      return session;
    },
    async renew(_session, request) {
      gate.renewals.push(request);
      gate.check(request);
    },
    async prove(_session, request) {
      gate.proofs.push(request);
      gate.check(request);
    },
    async readReceipts(session, request) {
      await gate.prove(session, request);
      return session.receipts();
    },
  };
  return gate;
}
