/** Staff: what runs, what was flagged, and ending it. */
import { emailSchema } from '../accounts/accounts.ts';
import { audit, type AuditEntry } from '../audit/audit.ts';
import type { RequestContext } from '../context.ts';
import type { Executor } from '../db/connect.ts';
import type { RevocationActor } from '../revocations/entries.ts';
import {
  findMediaSession,
  findSoldTickets,
  findTicketsOfOrder,
  listRevocations,
  listRunningSessions,
  type RevocationRecord,
  type RunningSession,
  type SoldTicket,
} from '../revocations/queries.ts';
import {
  kickSession,
  reasonSchema,
  reinstateAccount,
  revokeAccount,
  revokeOrder,
  revokeProofKey,
  revokeTicket,
  thumbprintSchema,
  type Revoked,
} from '../revocations/revoke.ts';
import { findFlags, listFlags } from '../tickets/flags.ts';
import { serverIdSchema } from '../../plugin/ticket/index.ts';
import { Denial } from '../../plugin/errors.ts';
import { createBatch } from './batch.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { acting, now, parseId, parseInput, resolvePage } from './input.ts';
import { TicketFlagType } from './orders.ts';

const flags = createBatch((context, ids: readonly string[]) => findFlags(context.services.db, ids));
const soldTickets = createBatch((context, ids: readonly string[]) =>
  findSoldTickets(context.services.db, ids),
);

const SoldTicketType = builder.objectRef<SoldTicket>('SoldTicket').implement({
  description: 'A ticket and whose it is, for staff.',
  fields: (t) => ({
    id: t.exposeID('id', { description: 'The claim jti.' }),
    orderId: t.exposeID('orderId'),
    accountEmail: t.exposeString('accountEmail', {
      nullable: true,
      description: 'Null for an order without an account.',
    }),
    uri: t.exposeString('uri', { description: 'Stream path.' }),
    jkt: t.exposeString('jkt', { description: 'Thumbprint of the proof key (RFC 7638).' }),
    issuedAt: t.field({ type: 'DateTime', resolve: (ticket) => ticket.issuedAt }),
    expiresAt: t.field({ type: 'DateTime', resolve: (ticket) => ticket.expiresAt }),
    revokedAt: t.field({ type: 'DateTime', nullable: true, resolve: (ticket) => ticket.revokedAt }),
    flags: t.field({
      type: [TicketFlagType],
      resolve: (ticket, _args, context) => flags(context, ticket.id),
    }),
  }),
});

export const MediaSessionType = builder.objectRef<RunningSession>('MediaSession').implement({
  description: 'One viewing, as the order server knows it.',
  fields: (t) => ({
    id: t.exposeID('id'),
    serverId: t.exposeString('serverId'),
    state: t.exposeString('state', { description: '"reserved", "committed", "ended" or "released".' }),
    createdAt: t.field({ type: 'DateTime', resolve: (session) => session.createdAt }),
    kickedAt: t.field({ type: 'DateTime', nullable: true, resolve: (session) => session.kickedAt }),
    mediaMs: t.field({
      type: 'SafeInt',
      description: 'Milliseconds of media, by the last receipt.',
      resolve: (session) => session.mediaMs,
    }),
    bytes: t.field({ type: 'SafeInt', resolve: (session) => session.bytes }),
    ticket: t.field({
      type: SoldTicketType,
      resolve: (session, _args, context) => soldTickets(context, session.ticketId),
    }),
  }),
});

const RevocationType = builder.objectRef<RevocationRecord>('Revocation').implement({
  description: 'An entry of the feed that streaming servers follow.',
  fields: (t) => ({
    id: t.exposeID('id'),
    seq: t.field({ type: 'SafeInt', resolve: (entry) => entry.seq }),
    kind: t.exposeString('kind', { description: '"ticket", "subject" (an order), "key" or "session".' }),
    value: t.exposeString('value', { description: "A ticket's jti, sub or cnf.jkt, or a session id." }),
    until: t.field({
      type: 'DateTime',
      description: 'When nothing that it concerns can be alive any more.',
      resolve: (entry) => entry.until,
    }),
    reason: t.exposeString('reason'),
    revokedBy: t.exposeString('revokedBy', { description: 'Email of the staff account.' }),
    createdAt: t.field({ type: 'DateTime', resolve: (entry) => entry.createdAt }),
  }),
});

const RevokedType = builder.objectRef<Revoked>('Revoked').implement({
  description: 'What was ended together.',
  fields: (t) => ({
    tickets: t.exposeInt('tickets', { description: 'Tickets that would still be alive.' }),
    revokedAt: t.field({
      type: 'DateTime',
      description: 'When it was asked for first.',
      resolve: (revoked) => revoked.revokedAt,
    }),
  }),
});

builder.queryFields((t) => ({
  soldTicket: t.field({
    ...allow('sessions:read'),
    type: SoldTicketType,
    nullable: true,
    description: 'One ticket.',
    args: { id: t.arg.id({ description: 'The claim jti.' }) },
    resolve: async (_root, { id }, { services }) => {
      const jti = parseId(id);
      return (await findSoldTickets(services.db, [jti])).get(jti) ?? null;
    },
  }),
  runningSessions: t.connection({
    ...allow('sessions:read'),
    type: MediaSessionType,
    description: 'Viewings that hold a reservation or a lease, newest first.',
    args: { ticketId: t.arg.id({ required: false }), serverId: t.arg.string({ required: false }) },
    resolve: (_root, { ticketId, serverId, ...args }, context) => {
      const filter = {
        ...(typeof ticketId === 'string' ? { ticketId: parseId(ticketId) } : {}),
        ...(typeof serverId === 'string' ? { serverId: parseInput(serverIdSchema, serverId) } : {}),
      };
      return resolvePage(args, (page) =>
        listRunningSessions(context.services.db, page, now(context), filter),
      );
    },
  }),
  revocations: t.connection({
    ...allow('sessions:read'),
    type: RevocationType,
    description: 'Newest first.',
    resolve: (_root, args, { services }) => resolvePage(args, (page) => listRevocations(services.db, page)),
  }),
  flaggedTickets: t.connection({
    ...allow('sessions:read'),
    type: TicketFlagType,
    description: 'What streaming servers have noticed; the newest flag first.',
    resolve: (_root, args, { services }) => resolvePage(args, (page) => listFlags(services.db, page)),
  }),
}));

/** Runs a revocation and its audit entry in a transaction, and has it on the wire at once. */
async function revoke<T>(
  context: RequestContext,
  reason: string,
  work: (tx: Executor, actor: RevocationActor) => Promise<{ result: T; entry: AuditEntry }>,
): Promise<T> {
  const { services } = context;
  const actor = {
    accountId: acting(context).accountId,
    reason: parseInput(reasonSchema, reason),
    now: now(context),
  };
  const done = await services.db.transaction(async (tx) => {
    const { result, entry } = await work(tx, actor);
    await audit(tx, context, entry);
    return result;
  });
  void services.feed.poke();
  return done;
}

const reasonDescription = '1 to 200 characters, for staff.';

builder.mutationFields((t) => ({
  revokeTicket: t.field({
    ...allow('sessions:write'),
    type: SoldTicketType,
    description: 'Ends a ticket for good, and what is watched with it within a second.',
    args: {
      id: t.arg.id({ description: 'The claim jti.' }),
      reason: t.arg.string({ description: reasonDescription }),
    },
    resolve: async (_root, args, context) => {
      const id = parseId(args.id);
      await revoke(context, args.reason, async (tx, actor) => {
        const revokedAt = await revokeTicket(tx, id, actor);
        const entry = {
          action: 'ticket.revoke',
          object: { type: 'ticket', id },
          before: { revokedAt },
          after: { revokedAt: revokedAt ?? actor.now, reason: actor.reason },
        };
        return { result: undefined, entry };
      });
      return soldTickets(context, id);
    },
  }),
  revokeOrder: t.field({
    ...allow('sessions:write'),
    type: [SoldTicketType],
    description: 'Ends the tickets of an order; answers them.',
    args: { id: t.arg.id(), reason: t.arg.string({ description: reasonDescription }) },
    resolve: async (_root, args, context) => {
      const id = parseId(args.id);
      await revoke(context, args.reason, async (tx, actor) => {
        const tickets = await revokeOrder(tx, id, actor);
        const entry = {
          action: 'order.revoke',
          object: { type: 'order', id },
          before: null,
          after: { tickets, reason: actor.reason },
        };
        return { result: undefined, entry };
      });
      return findTicketsOfOrder(context.services.db, id);
    },
  }),
  revokeAccount: t.field({
    ...allow('accounts:write'),
    type: RevokedType,
    description: 'Ends the tickets of an account, and lets it order no more.',
    args: { email: t.arg.string(), reason: t.arg.string({ description: reasonDescription }) },
    resolve: (_root, args, context) => {
      const email = parseInput(emailSchema, args.email);
      return revoke(context, args.reason, async (tx, actor) => {
        const result = await revokeAccount(tx, email, actor);
        const { accountId, revokedBefore, revokedAt, tickets } = result;
        const entry = {
          action: 'account.revoke',
          object: { type: 'account', id: accountId },
          before: { revokedAt: revokedBefore },
          after: { revokedAt, tickets, reason: actor.reason },
        };
        return { result, entry };
      });
    },
  }),
  reinstateAccount: t.field({
    ...allow('accounts:write'),
    type: 'Boolean',
    description: 'Lets an account order again. What was revoked stays so.',
    args: { email: t.arg.string() },
    resolve: async (_root, args, context) => {
      const email = parseInput(emailSchema, args.email);
      await context.services.db.transaction(async (tx) => {
        const { accountId, revokedBefore } = await reinstateAccount(tx, email);
        await audit(tx, context, {
          action: 'account.reinstate',
          object: { type: 'account', id: accountId },
          before: { revokedAt: revokedBefore },
          after: { revokedAt: null },
        });
      });
      return true;
    },
  }),
  revokeProofKey: t.field({
    ...allow('sessions:write'),
    type: RevokedType,
    description: 'Ends the tickets that are bound to a proof key; no order is taken with it afterwards.',
    args: {
      jkt: t.arg.string({ description: 'RFC 7638 thumbprint.' }),
      reason: t.arg.string({ description: reasonDescription }),
    },
    resolve: (_root, args, context) => {
      const jkt = parseInput(thumbprintSchema, args.jkt);
      return revoke(context, args.reason, async (tx, actor) => {
        const result = await revokeProofKey(tx, jkt, actor);
        const entry = {
          action: 'proof_key.revoke',
          object: { type: 'proof_key', id: jkt },
          before: null,
          after: { ...result, reason: actor.reason },
        };
        return { result, entry };
      });
    },
  }),
  endSession: t.field({
    ...allow('sessions:write'),
    type: MediaSessionType,
    description: 'Ends one viewing within a second.',
    args: {
      id: t.arg.id(),
      comeBack: t.arg.boolean({ description: 'False ends its ticket as well.' }),
      reason: t.arg.string({ defaultValue: 'ended by staff', description: reasonDescription }),
    },
    resolve: async (_root, { comeBack, reason, ...args }, context) => {
      const id = parseId(args.id);
      await revoke(context, reason, async (tx, actor) => {
        await kickSession(tx, id, comeBack, actor);
        const entry = {
          action: 'session.end',
          object: { type: 'media_session', id },
          before: null,
          after: { comeBack, reason: actor.reason },
        };
        return { result: undefined, entry };
      });
      context.services.events.publish([{ kind: 'session', id }]);
      const session = await findMediaSession(context.services.db, id);
      if (session === null) throw new Denial('not_found', { detail: 'session' });
      return session;
    },
  }),
}));
