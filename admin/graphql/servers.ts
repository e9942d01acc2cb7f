import type { JWK } from 'jose';
import { listServers, registerServer, serverSchema, type StreamingServer } from '../trust/servers.ts';
import { allow, builder } from './builder.ts';
import { given, now, parseInput } from './input.ts';

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
  }),
});

const StreamingServerType = builder.objectRef<StreamingServer>('StreamingServer').implement({
  fields: (t) => ({
    id: t.exposeID('id'),
    publicUrl: t.exposeString('publicUrl'),
    signingKey: t.field({ type: PublicKey, resolve: (server) => server.signingKey }),
    sealingKey: t.field({ type: PublicKey, resolve: (server) => server.sealingKey }),
  }),
});

builder.queryField('streamingServers', (t) =>
  t.field({
    ...allow('staff'),
    type: [StreamingServerType],
    resolve: (_root, _args, { services }) => listServers(services.db),
  }),
);

builder.mutationField('registerStreamingServer', (t) =>
  t.field({
    ...allow('staff'),
    type: StreamingServerType,
    description: 'Registers a streaming server, or replaces what is known of it.',
    args: {
      id: t.arg.string({ description: "Its id in a ticket's aud." }),
      publicUrl: t.arg.string(),
      signingKey: t.arg({ type: PublicKeyInput }),
      sealingKey: t.arg({ type: PublicKeyInput }),
    },
    resolve: async (_root, args, context) => {
      const server = parseInput(serverSchema, {
        ...args,
        signingKey: given(args.signingKey),
        sealingKey: given(args.sealingKey),
      });
      await registerServer(context.services.db, server, now(context));
      return server;
    },
  }),
);
