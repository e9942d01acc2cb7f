/** `POST /v1/enrolments` and `POST /v1/server-keys`: streaming servers come into the register, and change their keys. */
import type { Context } from 'hono';
import { decodeProtectedHeader } from 'jose';
import { TLSSocket } from 'node:tls';
import { Denial } from '../../plugin/errors.ts';
import { isLoopback } from '../../plugin/peer.ts';
import {
  MAX_REGISTRATION_CHARS,
  readEnrolment,
  serverKeysSchema,
  type Enrolled,
  type ServerKeysChanged,
} from '../../plugin/registration.ts';
import { thumbprint } from '../../plugin/ticket/index.ts';
import type { Services } from '../context.ts';
import { changeServerKeys, enrolServer } from '../trust/enrolment.ts';
import { useMessage } from '../trust/messages.ts';
import { readBody } from './body.ts';
import type { AppEnv } from './env.ts';

/** True if nobody between can have read the request: it came over TLS, to us or to a proxy of ours, or from here. */
function isPrivate({ env, req }: Context<AppEnv>, trustedProxies: number): boolean {
  const { socket } = env.incoming;
  if (socket instanceof TLSSocket) return true;
  const protocols = req.header('x-forwarded-proto')?.split(',') ?? [];
  if (trustedProxies > 0 && req.header('x-forwarded-for') !== undefined)
    return protocols.at(-trustedProxies)?.trim() === 'https';
  return isLoopback(socket.remoteAddress ?? '');
}

/** Registers a streaming server that has a one-time code. @throws Denial. */
export async function enrol(
  services: Services,
  context: Context<AppEnv>,
  { publicUrl, trustedProxies, peer }: { publicUrl: string; trustedProxies: number; peer: string },
): Promise<Enrolled> {
  const { db, clock, log, throttles, authority } = services;
  if (!isPrivate(context, trustedProxies)) throw new Denial('tls_required');
  throttles.enrolments.take(peer);
  const jws = await readBody(context, 'application/jose', MAX_REGISTRATION_CHARS);
  const nowMs = clock.nowMs();
  const message = await readEnrolment(jws, { audience: publicUrl, nowSeconds: Math.floor(nowMs / 1000) });
  await db.transaction((tx) => enrolServer(tx, message, new Date(nowMs)));
  throttles.enrolments.forget(peer);
  log.info({ server: message.iss, fingerprint: message.signingKey.kid }, 'a streaming server has enrolled');
  return {
    server: message.iss,
    issuer: authority.issuer,
    fingerprints: authority.publicJwks.map((jwk) => thumbprint(jwk)),
  };
}

/** Replaces the keys of a registered streaming server. @throws Denial. */
export async function takeServerKeys(
  services: Services,
  context: Context<AppEnv>,
): Promise<ServerKeysChanged> {
  const { db, clock, log, messages } = services;
  const jws = await readBody(context, 'application/jose', MAX_REGISTRATION_CHARS);
  const { message, use } = await messages.verify(jws, {
    typ: 'server-keys+jwt',
    schema: serverKeysSchema,
    maxChars: MAX_REGISTRATION_CHARS,
  });
  const nowMs = clock.nowMs();
  const { kid = '' } = decodeProtectedHeader(jws);
  const changed = await db.transaction(async (tx) => {
    await useMessage(tx, use, nowMs);
    return changeServerKeys(tx, message, kid, new Date(nowMs));
  });
  log.info({ server: message.iss, fingerprint: message.signingKey.kid }, 'a streaming server has new keys');
  return changed;
}
