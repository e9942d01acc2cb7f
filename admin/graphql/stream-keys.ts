import { z } from 'zod';
import { createStreamKey, hashStreamKey } from '../../plugin/ticket/index.ts';
import {
  addStreamKey,
  listStreamKeys,
  revokeStreamKey,
  rotateStreamKey,
  type StreamKey,
} from '../catalog/stream-keys.ts';
import { audit } from '../audit/audit.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { now, parseId, parseInput } from './input.ts';

const MAX_OVERLAP_SECONDS = 30 * 24 * 3600;
const overlapSchema = z.int().min(0).max(MAX_OVERLAP_SECONDS);

const StreamKeyType = builder.objectRef<StreamKey>('StreamKey').implement({
  description: 'A key for publishing. The key itself is shown once, when it is made.',
  fields: (t) => ({
    id: t.exposeID('id'),
    createdAt: t.field({ type: 'DateTime', resolve: (key) => key.createdAt }),
    revokedAt: t.field({
      type: 'DateTime',
      nullable: true,
      description: 'From then on it lets nobody publish; may lie ahead.',
      resolve: (key) => key.revokedAt,
    }),
  }),
});

builder.queryField('streamKeys', (t) =>
  t.field({
    ...allow('catalog:read'),
    type: [StreamKeyType],
    description: "A title's latest keys, newest first; at most 100.",
    args: { titleId: t.arg.id() },
    resolve: (_root, { titleId }, { services }) => listStreamKeys(services.db, parseId(titleId)),
  }),
);

builder.mutationFields((t) => ({
  createStreamKey: t.field({
    ...allow('keys:write'),
    type: 'String',
    description: 'A further key for publishing the title. It is shown this once.',
    args: { titleId: t.arg.id() },
    resolve: async (_root, args, context) => {
      const titleId = parseId(args.titleId);
      const key = createStreamKey();
      await context.services.db.transaction(async (tx) => {
        await addStreamKey(tx, titleId, hashStreamKey(key), now(context));
        await audit(tx, context, {
          action: 'stream_key.create',
          object: { type: 'title', id: titleId },
          before: null,
          after: {},
        });
      });
      return key;
    },
  }),
  rotateStreamKey: t.field({
    ...allow('keys:write'),
    type: 'String',
    description:
      'A new key in place of all others of the title. A publisher who is on the air stays there. It is shown this once.',
    args: {
      titleId: t.arg.id(),
      keepOldSeconds: t.arg.int({
        required: false,
        description: 'How long the other keys still open a connection. Default 0.',
      }),
    },
    resolve: async (_root, args, context) => {
      const titleId = parseId(args.titleId);
      const overlapSeconds = parseInput(overlapSchema, args.keepOldSeconds ?? 0);
      const key = createStreamKey();
      const at = now(context);
      const oldUntil = new Date(at.getTime() + overlapSeconds * 1000);
      await context.services.db.transaction(async (tx) => {
        await rotateStreamKey(tx, titleId, hashStreamKey(key), oldUntil, at);
        await audit(tx, context, {
          action: 'stream_key.rotate',
          object: { type: 'title', id: titleId },
          before: null,
          after: { othersUntil: oldUntil },
        });
      });
      return key;
    },
  }),
  revokeStreamKey: t.field({
    ...allow('keys:write'),
    type: 'Boolean',
    description: 'Takes one key back. A publisher who is on the air stays there.',
    args: { id: t.arg.id() },
    resolve: async (_root, args, context) => {
      const id = parseId(args.id);
      const at = now(context);
      await context.services.db.transaction(async (tx) => {
        const { titleId, revokedBefore } = await revokeStreamKey(tx, id, at);
        await audit(tx, context, {
          action: 'stream_key.revoke',
          object: { type: 'title', id: titleId },
          before: { streamKeyId: id, revokedAt: revokedBefore },
          after: {
            streamKeyId: id,
            revokedAt: revokedBefore !== null && revokedBefore < at ? revokedBefore : at,
          },
        });
      });
      return true;
    },
  }),
}));
