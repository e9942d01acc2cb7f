/** `POST /v1/redemptions`: counted rights and publishing, asked by registered streaming servers. */
import { redemptionSchema, type Redemption } from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { verifyTicket } from '../../plugin/ticket/index.ts';
import { authorizePublish } from '../catalog/stream-keys.ts';
import type { Services } from '../context.ts';
import { isSqlState } from '../db/connect.ts';
import { flagTicket } from '../tickets/flags.ts';
import { commit, release, reserve } from '../tickets/redeem.ts';
import { useMessage, type MessageUse } from '../trust/messages.ts';
import { toDenial } from './problems.ts';

export const MAX_REDEMPTION_BYTES = 8 * 1024;

/** Does what a message asks, and marks it as used by the same statement where it changes what is counted. */
async function run(services: Services, message: Redemption, use: MessageUse): Promise<object> {
  const { db, authority, clock, desk, throttles } = services;
  const nowMs = clock.nowMs();
  const session = message.session.toLowerCase();
  switch (message.op) {
    case 'reserve': {
      const claims = await verifyTicket(message.ticket, {
        keys: authority,
        nowSeconds: Math.floor(nowMs / 1000),
      });
      const request = {
        session,
        attempt: message.attempt?.toLowerCase() ?? null,
        ticketId: claims.jti,
        serverId: message.iss,
      };
      return reserve(db, request, nowMs, use);
    }
    case 'commit': {
      const granted = await commit(db, session, message.iss, nowMs, use);
      // The picture does not wait for the money; what is due is written down.
      void desk.settleSession(session);
      return granted;
    }
    case 'release':
      await release(db, session, message.iss, nowMs, use);
      return {};
    case 'publish':
      await useMessage(db, use, nowMs);
      await authorizePublish(db, message.uri, message.keyHash, new Date(nowMs));
      return {};
    case 'report': {
      throttles.reports.take(message.iss);
      await useMessage(db, use, nowMs);
      const report = { ticketId: message.ticket.toLowerCase(), what: message.what, serverId: message.iss };
      await flagTicket(db, report, new Date(nowMs));
      return {};
    }
  }
}

/** Verifies one redemption message and does what it asks. @throws Denial. */
export async function redeem(services: Services, jws: string): Promise<object> {
  const { messages, metrics, events } = services;
  let op = 'unknown';
  try {
    const { message, use } = await messages.verify(jws, {
      typ: 'redemption+jwt',
      schema: redemptionSchema,
      maxChars: MAX_REDEMPTION_BYTES,
    });
    op = message.op;
    const answer = await run(services, message, use);
    metrics.redemptions.inc({ op, outcome: 'ok' });
    if (message.op === 'reserve' || message.op === 'commit' || message.op === 'release')
      events.publish([{ kind: 'session', id: message.session.toLowerCase() }]);
    return answer;
  } catch (error) {
    // The same session id at the same moment for another ticket.
    const denial = isSqlState(error, '23505')
      ? new Denial('conflict', { detail: 'session' })
      : toDenial(error);
    metrics.redemptions.inc({ op, outcome: denial.code });
    throw denial;
  }
}
