import type { JWK } from 'jose';
import { z } from 'zod';
import {
  HEALTH_WARNINGS,
  type HealthWarning,
  type PublisherHealth,
  type ReencoderStatus,
} from '../../plugin/contract.ts';
import { Denial } from '../../plugin/errors.ts';
import { serverIdSchema, thumbprint } from '../../plugin/ticket/index.ts';
import { audit } from '../audit/audit.ts';
import { roomAt, setCapacity } from '../catalog/capacity.ts';
import { createEnrolmentCode, type EnrolmentCode } from '../trust/enrolment.ts';
import { listLiveStreams, type LiveStream } from '../trust/live-streams.ts';
import { deactivateServer, listRegistered, type RegisteredServer } from '../trust/servers.ts';
import { createBatch } from './batch.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { acting, now, parseInput } from './input.ts';

/** A public key of an elliptic curve, as JWK (RFC 7517). Members that are not here, private ones above all, are refused. */
export const PublicKeyInput = builder.inputType('PublicKeyInput', {
  description: 'Public key (JWK). Signing: Ed25519 or P-256; sealing: X25519 or P-256.',
  fields: (t) => ({
    kty: t.string({ description: '"OKP" or "EC".' }),
    crv: t.string({ description: '"Ed25519", "X25519" or "P-256".' }),
    x: t.string(),
    y: t.string({ required: false, description: 'For "EC".' }),
    kid: t.string({ required: false }),
    use: t.string({ required: false }),
    alg: t.string({ required: false }),
  }),
});

const PublicKey = builder.objectRef<JWK>('PublicKey').implement({
  fields: (t) => ({
    kty: t.string({ resolve: (key) => key.kty ?? '' }),
    crv: t.string({ resolve: (key) => key.crv ?? '' }),
    x: t.string({ resolve: (key) => key.x ?? '' }),
    y: t.string({ nullable: true, resolve: (key) => key.y ?? null }),
    kid: t.string({ nullable: true, resolve: (key) => key.kid ?? null }),
    fingerprint: t.string({
      description: 'RFC 7638 thumbprint, SHA-256.',
      resolve: (key) => thumbprint(key),
    }),
  }),
});

const VideoType = builder.objectRef<NonNullable<PublisherHealth['video']>>('PublisherVideo').implement({
  description: 'The video that a publisher sends.',
  fields: (t) => ({
    codec: t.exposeString('codec', { description: 'Such as "H.264".' }),
    profileLevelId: t.string({
      nullable: true,
      description: 'RFC 6184; H.264 only.',
      resolve: (video) => video.profileLevelId,
    }),
    width: t.int({ nullable: true, resolve: (video) => video.width }),
    height: t.int({ nullable: true, resolve: (video) => video.height }),
    hasBFrames: t.exposeBoolean('hasBFrames'),
    keyframeIntervalMs: t.int({
      nullable: true,
      description: 'Between the last two keyframes.',
      resolve: (video) => video.keyframeIntervalMs,
    }),
    framesPerSecond: t.exposeFloat('framesPerSecond'),
    bitsPerSecond: t.field({ type: 'SafeInt', resolve: (video) => video.bitsPerSecond }),
  }),
});

const AudioType = builder.objectRef<NonNullable<PublisherHealth['audio']>>('PublisherAudio').implement({
  description: 'The sound that a publisher sends.',
  fields: (t) => ({
    codec: t.exposeString('codec', { description: 'Such as "AAC".' }),
    sampleRateHz: t.int({ nullable: true, resolve: (audio) => audio.sampleRateHz }),
    channels: t.int({ nullable: true, resolve: (audio) => audio.channels }),
    bitsPerSecond: t.field({ type: 'SafeInt', resolve: (audio) => audio.bitsPerSecond }),
  }),
});

const WarningType = builder.objectRef<HealthWarning>('PublisherWarning').implement({
  description: 'Something that is wrong with a publisher.',
  fields: (t) => ({
    code: t.exposeString('code', { description: HEALTH_WARNINGS.map((code) => `"${code}"`).join(', ') }),
    text: t.exposeString('text', { description: 'Such as "keyframe every 8 s".' }),
  }),
});

const ReencoderType = builder.objectRef<ReencoderStatus>('Reencoder').implement({
  description: "What makes a stream's video anew, for WebRTC viewers who cannot be shown what is published.",
  fields: (t) => ({
    codec: t.exposeString('codec', { description: 'What it makes: "H.264" or "VP8".' }),
    running: t.exposeBoolean('running', {
      description: 'False while it waits to be started, or started again.',
    }),
    restarts: t.field({
      type: 'SafeInt',
      description: 'Times that it ended by itself.',
      resolve: (reencoder) => reencoder.restarts,
    }),
    droppedPictures: t.field({
      type: 'SafeInt',
      description: 'Pictures that it was not given, being too slow.',
      resolve: (reencoder) => reencoder.droppedPictures,
    }),
    lagMs: t.field({
      type: 'SafeInt',
      description: 'How long the latest picture took.',
      resolve: (reencoder) => reencoder.lagMs,
    }),
    reduction: t.int({
      description:
        'What a machine that is too slow leaves out: 0 nothing, 1 every second picture, 2 half the width and height too.',
      resolve: (reencoder) => reencoder.reduction ?? 0,
    }),
  }),
});

const LiveStreamType = builder.objectRef<LiveStream>('LiveStream').implement({
  description: 'A stream that is on the air at a streaming server.',
  fields: (t) => ({
    path: t.exposeString('path', { description: 'Stream path.' }),
    onAirSince: t.field({ type: 'DateTime', resolve: (stream) => stream.onAirSince }),
    viewers: t.exposeInt('viewers'),
    video: t.field({ type: VideoType, nullable: true, resolve: (stream) => stream.health.video }),
    audio: t.field({ type: AudioType, nullable: true, resolve: (stream) => stream.health.audio }),
    warnings: t.field({ type: [WarningType], resolve: (stream) => stream.health.warnings }),
    reencoders: t.field({
      type: [ReencoderType],
      description: 'Those that are needed now.',
      resolve: (stream) => stream.health.reencoders ?? [],
    }),
    reportedAt: t.field({ type: 'DateTime', resolve: (stream) => stream.reportedAt }),
  }),
});

const liveStreams = createBatch((context, serverIds: readonly string[]) =>
  listLiveStreams(context.services.db, serverIds, context.services.clock.nowMs()),
);

const room = createBatch((context, serverIds: readonly string[]) =>
  roomAt(context.services.db, serverIds, context.services.clock.nowMs()),
);

const StreamingServerType = builder.objectRef<RegisteredServer>('StreamingServer').implement({
  fields: (t) => ({
    id: t.exposeID('id'),
    publicUrl: t.exposeString('publicUrl'),
    active: t.exposeBoolean('active', { description: 'False: its messages are refused.' }),
    registeredAt: t.expose('registeredAt', { type: 'DateTime' }),
    signingKey: t.field({ type: PublicKey, resolve: (server) => server.signingKey }),
    sealingKey: t.field({ type: PublicKey, resolve: (server) => server.sealingKey }),
    streams: t.field({
      type: [LiveStreamType],
      description: 'What it has on the air, by its last report; a report counts for 30 s.',
      resolve: (server, _args, context) => liveStreams(context, server.id),
    }),
    capacity: t.int({
      nullable: true,
      description: 'Viewers at the same time; null: not limited.',
      resolve: async (server, _args, context) => (await room(context, server.id)).capacity,
    }),
    taken: t.int({
      description: 'Viewings that run or are about to, and places that are kept for orders.',
      resolve: async (server, _args, context) => (await room(context, server.id)).taken,
    }),
    free: t.int({
      nullable: true,
      description: 'Places that are left; null: not limited.',
      resolve: async (server, _args, context) => (await room(context, server.id)).free,
    }),
  }),
});

const EnrolmentCodeType = builder.objectRef<EnrolmentCode>('EnrolmentCode').implement({
  description: 'With it a streaming server registers its keys, once: `usher media enrol`.',
  fields: (t) => ({
    serverId: t.exposeID('serverId'),
    code: t.exposeString('code', { description: 'Shown this once.' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime' }),
  }),
});

builder.queryField('streamingServers', (t) =>
  t.field({
    ...allow('servers:read'),
    type: [StreamingServerType],
    resolve: (_root, _args, { services }) => listRegistered(services.db),
  }),
);

builder.mutationField('registerStreamingServer', (t) =>
  t.field({
    ...allow('servers:write'),
    type: EnrolmentCodeType,
    description:
      'Makes a one-time code with which a streaming server enrols under this id. It voids the code before it.',
    args: { id: t.arg.string({ description: "Its id in a ticket's aud." }) },
    resolve: (_root, args, context) => {
      const id = parseInput(serverIdSchema, args.id);
      return context.services.db.transaction(async (tx) => {
        const made = await createEnrolmentCode(tx, id, acting(context).accountId, now(context));
        await audit(tx, context, {
          action: 'server.register',
          object: { type: 'streaming_server', id },
          before: null,
          after: { codeExpiresAt: made.expiresAt },
        });
        return made;
      });
    },
  }),
);

const capacitySchema = z.int().min(0).max(1_000_000).nullable();

builder.mutationField('setServerCapacity', (t) =>
  t.field({
    ...allow('servers:write'),
    type: StreamingServerType,
    description:
      'How many may watch at a streaming server at the same time; null does not limit. Orders are refused when it is full; who watches goes on.',
    args: { id: t.arg.string(), capacity: t.arg.int({ required: false }) },
    resolve: (_root, args, context) => {
      const id = parseInput(serverIdSchema, args.id);
      const capacity = parseInput(capacitySchema, args.capacity ?? null);
      return context.services.db.transaction(async (tx) => {
        const before = (await roomAt(tx, [id], context.services.clock.nowMs())).get(id)?.capacity ?? null;
        await setCapacity(tx, id, capacity);
        await audit(tx, context, {
          action: 'server.capacity',
          object: { type: 'streaming_server', id },
          before: { capacity: before },
          after: { capacity },
        });
        const server = (await listRegistered(tx)).find((registered) => registered.id === id);
        if (server === undefined) throw new Denial('not_found', { detail: 'server' });
        return server;
      });
    },
  }),
);

builder.mutationField('deactivateStreamingServer', (t) =>
  t.field({
    ...allow('servers:write'),
    type: StreamingServerType,
    description:
      'Refuses everything that a streaming server sends from now on, and sells no tickets for it. It comes back by enrolling anew.',
    args: { id: t.arg.string() },
    resolve: (_root, args, context) => {
      const id = parseInput(serverIdSchema, args.id);
      return context.services.db.transaction(async (tx) => {
        const { active, ...server } = await deactivateServer(tx, id);
        await audit(tx, context, {
          action: 'server.deactivate',
          object: { type: 'streaming_server', id },
          before: { active },
          after: { active: false },
        });
        return { ...server, active: false };
      });
    },
  }),
);
