/** What of a request needs no other party to decide: its ticket, its proof, what it asks for. */
import type { AccessRequest, SessionRequest } from './contract.ts';
import { asDenial, Denial } from './errors.ts';
import type { Clock, KeySource, Reports, Revocable, Revocations, UnsealKey } from './ports.ts';
import { authorizeAsk, type Ask } from './rights/index.ts';
import {
  authorizeTicket,
  createProofVerifier,
  parseAuthorization,
  unsealTicket,
  verifyTicket,
  type Nonces,
  type ProofRequest,
  type ReplayMemory,
  type TicketClaims,
} from './ticket/index.ts';

/** A ticket that has passed every check, with what its proof and its sealed part say. */
export interface Presented {
  readonly ticket: string;
  readonly claims: TicketClaims;
  readonly key: Uint8Array | null;
  readonly watermark: string | null;
  readonly attempt: string | null;
  readonly ask: Ask;
}

export interface TicketChecksOptions {
  readonly serverId: string;
  readonly keys: KeySource;
  readonly unsealKeys: readonly UnsealKey[];
  readonly nonces: Nonces;
  readonly replay: ReplayMemory;
  readonly revocations: Revocations;
  /** Told of proofs that are shown again. */
  readonly reports?: Reports;
  readonly clock: Clock;
}

/** Who holds a session. */
interface Holder {
  readonly ticketId: string;
  readonly sessionId: string;
  readonly jkt: string;
}

export interface TicketChecks {
  /** @throws Denial */
  check(request: AccessRequest): Promise<Presented>;
  /**
   * What of a ticket that was checked a moment ago depends on time and on the connection.
   * @throws Denial
   */
  recheck(claims: TicketClaims, request: AccessRequest): void;
  /** @throws Denial `ticket_revoked`; `order_server_unreachable` when that is not known */
  requireUnrevoked(claims: TicketClaims): void;
  /**
   * That a later request is the holder's, by a proof with the ticket that he has shown before.
   * @throws Denial
   */
  proveHolder(
    holder: Holder,
    ticket: string,
    request: Pick<SessionRequest, 'proof' | 'method' | 'url'>,
  ): Promise<void>;
}

const DEFAULT_ASK: Ask = { action: 'play' };

function requireConnection({ addr, transport }: TicketClaims, { peer, confidential }: AccessRequest): void {
  if (!confidential && transport !== 'clear') throw new Denial('transport_insecure');
  if (addr !== undefined && addr !== peer) throw new Denial('rights_insufficient', { detail: 'addr' });
}

/** Makes the checks of one gate. */
export function createTicketChecks(options: TicketChecksOptions): TicketChecks {
  const { serverId, keys, unsealKeys, revocations, reports, clock } = options;
  const proofs = createProofVerifier(options);

  /** Costs next to nothing, and so comes before everything that costs something. */
  function requireUnrevoked({ jti, sub, cnf }: TicketClaims): void {
    const target: Revocable = { ticketId: jti, subject: sub, jkt: cnf?.jkt ?? null, sessionId: null };
    if (revocations.isStale()) {
      throw new Denial('order_server_unreachable', { detail: 'what is revoked is not known' });
    }
    if (revocations.find(target) !== null) throw new Denial('ticket_revoked');
  }

  async function verifyProof(request: ProofRequest, ticketId: string, sessionId: string | null) {
    try {
      return await proofs.verify(request);
    } catch (error) {
      if (asDenial(error).code === 'proof_replayed') reports?.proofReplayed(ticketId, sessionId);
      throw error;
    }
  }

  async function check(request: AccessRequest): Promise<Presented> {
    const { scheme, ticket } = parseAuthorization(request.authorization);
    const claims = await verifyTicket(ticket, { keys, nowSeconds: Math.floor(clock.nowMs() / 1000) });
    authorizeTicket(claims, { serverId, uri: request.uri });
    requireUnrevoked(claims);
    let attempt: string | null = null;
    let ask: Ask = DEFAULT_ASK;
    if (claims.cnf === undefined) {
      if (scheme !== 'bearer')
        throw new Denial('proof_invalid', { detail: 'the ticket is not bound to a key' });
    } else {
      if (scheme !== 'dpop') throw new Denial('proof_missing');
      const { proof, method, url, fingerprint } = request;
      const proven = await verifyProof(
        {
          proof,
          method,
          url,
          ticket,
          jkt: claims.cnf.jkt,
          ...(fingerprint === undefined ? {} : { fingerprint }),
        },
        claims.jti,
        null,
      );
      attempt = proven.attempt;
      ask = proven.ask ?? DEFAULT_ASK;
    }
    if (ask.action !== 'play') throw new Denial('rights_insufficient', { detail: 'action' });
    authorizeAsk(claims.rights, ask);
    requireConnection(claims, request);
    // A ticket bound to a device needs a device's proof, which no client can give yet: fail closed.
    if (claims.dev !== undefined) throw new Denial('rights_insufficient', { detail: 'dev' });
    // Last: who shows a ticket of ours without its proof shall not cost us an opening.
    const secret = await unsealTicket(claims, unsealKeys);
    return { ticket, claims, key: secret.k, watermark: secret.wm, attempt, ask };
  }

  return {
    check,
    recheck(claims, request) {
      authorizeTicket(claims, { serverId, uri: request.uri });
      if (clock.nowMs() >= claims.exp * 1000) throw new Denial('ticket_expired', { detail: 'exp' });
      requireUnrevoked(claims);
      requireConnection(claims, request);
    },
    requireUnrevoked,
    async proveHolder({ ticketId, sessionId, jkt }, ticket, { proof, method, url }) {
      await verifyProof({ proof, method, url, ticket, jkt }, ticketId, sessionId);
    },
  };
}
