import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { enrolmentCodes, streamingServers, titleServers } from '../../../admin/db/schema.ts';
import {
  changeServerKeys,
  createEnrolmentCode,
  enrolServer,
  OVERLAP_SECONDS,
} from '../../../admin/trust/enrolment.ts';
import {
  deactivateServer,
  findMessageKeys,
  findServer,
  listRegistered,
  listServers,
} from '../../../admin/trust/servers.ts';
import { asDenial } from '../../../plugin/errors.ts';
import {
  enrolmentSchema,
  serverKeysSchema,
  signPossession,
  type Enrolment,
  type ServerKeysMessage,
} from '../../../plugin/registration.ts';
import {
  generateSealingKey,
  generateSigningKey,
  type SealingKeyPair,
  type SigningKeyPair,
} from '../../../plugin/ticket/index.ts';
import {
  createCustomer,
  createTestOffer,
  ISSUER,
  orderOffer,
  START_MS,
  type World,
} from '../../support/databases.ts';

const SECOND = 1000;
const now = new Date(START_MS);
const after = (seconds: number) => new Date(START_MS + seconds * SECOND);
const envelope = () => ({ aud: ISSUER, iat: START_MS / 1000, jti: randomUUID() });

interface Keys {
  readonly signing: SigningKeyPair;
  readonly sealing: SealingKeyPair;
}

async function makeKeys(): Promise<Keys> {
  const [signing, sealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
  return { signing, sealing };
}

const publicHalves = ({ signing, sealing }: Keys) => ({
  signingKey: signing.publicJwk,
  sealingKey: sealing.publicJwk,
});

/** Messages as they are when they have been verified. */
const enrolmentOf = (id: string, code: string, keys: Keys): Enrolment =>
  enrolmentSchema.parse({
    ...envelope(),
    ...publicHalves(keys),
    ...{ iss: id, code, publicUrl: 'https://media.example' },
  });

const rotationOf = (id: string, keys: Keys, possession?: string): ServerKeysMessage =>
  serverKeysSchema.parse({
    ...envelope(),
    ...publicHalves(keys),
    iss: id,
    possession: possession ?? signPossession(keys.signing, { iss: id, aud: ISSUER, ...publicHalves(keys) }),
  });

export function enrolmentSuite(world: () => World): void {
  let staff: string;
  beforeAll(async () => {
    staff = (await createCustomer(world())).id;
  });
  const newCode = async (id: string, at = now) => (await createEnrolmentCode(world().db, id, staff, at)).code;
  const enrol = (message: Enrolment, at = now) =>
    world().db.transaction((tx) => enrolServer(tx, message, at));
  const rotate = (message: ServerKeysMessage, signedBy: SigningKeyPair, at = now) =>
    world().db.transaction((tx) => changeServerKeys(tx, message, signedBy.kid, at));
  const codeOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'ok',
      (error: unknown) => asDenial(error).code,
    );
  const newId = () => `ss-${randomUUID()}`;
  const kidsOf = async (id: string, at = now) =>
    (await findMessageKeys(world().db, id, at)).map(({ kid }) => kid);

  /** A server that has enrolled. */
  async function enrolled(): Promise<{ id: string; keys: Keys; code: string }> {
    const [id, keys] = [newId(), await makeKeys()];
    const code = await newCode(id);
    await enrol(enrolmentOf(id, code, keys));
    return { id, keys, code };
  }

  describe('a one-time code', () => {
    it('registers the server that it was made for, and is kept as a hash', async () => {
      const { id, keys, code } = await enrolled();
      expect(code).toMatch(/^ec_[A-Za-z0-9_-]{22}$/);
      expect(await findServer(world().db, id)).toMatchObject({ id, ...publicHalves(keys) });
      expect(await kidsOf(id)).toEqual([keys.signing.kid]);
      const rows = await world().db.select().from(enrolmentCodes);
      expect(JSON.stringify(rows)).not.toContain(code);
    });

    it.each<[string, (id: string, code: string) => [id: string, code: string], number]>([
      ['for another server', (_id, code) => [newId(), code], 0],
      ['that nobody made', (id) => [id, `ec_${'A'.repeat(22)}`], 0],
      ['that has expired', (id, code) => [id, code], 3600],
    ])('%s registers nobody', async (_name, change, atSeconds) => {
      const id = newId();
      const [usedId, usedCode] = change(id, await newCode(id));
      const message = enrolmentOf(usedId, usedCode, await makeKeys());
      expect(await codeOf(enrol(message, after(atSeconds)))).toBe('enrolment_refused');
      expect(await findServer(world().db, usedId)).toBeNull();
    });

    it('is good until its last second', async () => {
      const id = newId();
      const message = enrolmentOf(id, await newCode(id), await makeKeys());
      expect(await codeOf(enrol(message, after(3599)))).toBe('ok');
    });

    it('is void once there is a newer one', async () => {
      const id = newId();
      const [first, second] = [await newCode(id), await newCode(id)];
      const keys = await makeKeys();
      expect(await codeOf(enrol(enrolmentOf(id, first, keys)))).toBe('enrolment_refused');
      expect(await codeOf(enrol(enrolmentOf(id, second, keys)))).toBe('ok');
    });

    it('is good once, except for the same key again, whose answer was lost', async () => {
      const { id, keys, code } = await enrolled();
      expect(await codeOf(enrol(enrolmentOf(id, code, await makeKeys())))).toBe('enrolment_refused');
      expect(await codeOf(enrol(enrolmentOf(id, code, keys)))).toBe('ok');
      const thief = await makeKeys();
      const mixed = enrolmentOf(id, code, { signing: keys.signing, sealing: thief.sealing });
      expect(await codeOf(enrol(mixed))).toBe('ok');
      // The repetition changes nothing.
      expect(await findServer(world().db, id)).toMatchObject(publicHalves(keys));
    });

    it('does not bring back a server that was deactivated', async () => {
      const { id, keys, code } = await enrolled();
      await deactivateServer(world().db, id);
      expect(await codeOf(enrol(enrolmentOf(id, code, keys)))).toBe('enrolment_refused');
      expect(await findServer(world().db, id)).toBeNull();
      expect(await codeOf(enrol(enrolmentOf(id, await newCode(id), keys)))).toBe('ok');
      expect(await findServer(world().db, id)).not.toBeNull();
    });

    it('lets one of 20 servers at once have it', async () => {
      const id = newId();
      const code = await newCode(id);
      const all = await Promise.all(Array.from({ length: 20 }, makeKeys));
      const codes = await Promise.all(all.map((keys) => codeOf(enrol(enrolmentOf(id, code, keys)))));
      expect(codes.filter((outcome) => outcome === 'ok')).toHaveLength(1);
      expect(codes.filter((outcome) => outcome === 'enrolment_refused')).toHaveLength(19);
      expect(await kidsOf(id)).toEqual([all[codes.indexOf('ok')]?.signing.kid]);
    });
  });

  describe('the keys of a server', () => {
    it('are replaced, and messages by the old one are taken for the overlap only', async () => {
      const { id, keys } = await enrolled();
      const next = await makeKeys();
      const changed = await rotate(rotationOf(id, next), keys.signing);
      expect(changed.signedUntil).toBe(START_MS / 1000 + OVERLAP_SECONDS);
      expect(await findServer(world().db, id)).toMatchObject(publicHalves(next));
      expect(await kidsOf(id)).toEqual([next.signing.kid, keys.signing.kid]);
      expect(await kidsOf(id, after(OVERLAP_SECONDS - 1))).toHaveLength(2);
      expect(await kidsOf(id, after(OVERLAP_SECONDS))).toEqual([next.signing.kid]);
    });

    it('before the rotation are needed until the last ticket sealed to them has expired', async () => {
      const { id, keys } = await enrolled();
      const offer = await createTestOffer(world(), { validSeconds: 7 * 24 * 3600 });
      await world().db.insert(titleServers).values({ titleId: offer.titleId, serverId: id });
      const { issued } = await orderOffer(world(), offer.id);
      const later = after(6 * 24 * 3600);
      const { sealedUntil } = await rotate(rotationOf(id, await makeKeys()), keys.signing, later);
      expect(sealedUntil).toBeGreaterThanOrEqual(issued.expiresAt.getTime() / 1000);
      // An order that runs at this moment may be for the longest offer, and seal to the key before.
      expect(sealedUntil).toBeGreaterThanOrEqual(later.getTime() / 1000 + 300 + offer.validSeconds);
    });

    it('are answered alike when the same rotation comes again', async () => {
      const { id, keys } = await enrolled();
      const next = await makeKeys();
      const first = await rotate(rotationOf(id, next), keys.signing);
      expect(await rotate(rotationOf(id, next), keys.signing)).toEqual(first);
      expect(await kidsOf(id)).toEqual([next.signing.kid, keys.signing.kid]);
    });

    it('are not replaced by whoever holds a key that was replaced itself', async () => {
      const { id, keys } = await enrolled();
      const next = await makeKeys();
      await rotate(rotationOf(id, next), keys.signing);
      expect(await codeOf(rotate(rotationOf(id, await makeKeys()), keys.signing))).toBe('server_untrusted');
      expect(await codeOf(rotate(rotationOf(id, await makeKeys()), next.signing))).toBe('ok');
      // Two rotations on, the first key is nobody's.
      expect(await kidsOf(id)).not.toContain(keys.signing.kid);
    });

    it('are not replaced by keys whose possession is not shown', async () => {
      const { id, keys } = await enrolled();
      const [next, thief] = [await makeKeys(), await makeKeys()];
      const about = { iss: id, aud: ISSUER, ...publicHalves(next) };
      const message = rotationOf(id, next, signPossession(thief.signing, about));
      expect(await codeOf(rotate(message, keys.signing))).toBe('server_untrusted');
      expect(await kidsOf(id)).toEqual([keys.signing.kid]);
    });

    it('are replaced by one of 10 rotations at once', async () => {
      const { id, keys } = await enrolled();
      const all = await Promise.all(Array.from({ length: 10 }, makeKeys));
      const codes = await Promise.all(all.map((next) => codeOf(rotate(rotationOf(id, next), keys.signing))));
      expect(codes.filter((outcome) => outcome === 'ok')).toHaveLength(1);
      expect(await kidsOf(id)).toEqual([all[codes.indexOf('ok')]?.signing.kid, keys.signing.kid]);
    });

    it('are replaced whole by a new enrolment: nothing that the ones before signed is taken', async () => {
      const { id, keys } = await enrolled();
      await rotate(rotationOf(id, await makeKeys()), keys.signing);
      const anew = await makeKeys();
      await enrol(enrolmentOf(id, await newCode(id), anew));
      expect(await kidsOf(id)).toEqual([anew.signing.kid]);
    });
  });

  describe('a deactivated server', () => {
    it('has no keys for messages, no tickets are sold for it, and it is still listed to staff', async () => {
      const { id, keys } = await enrolled();
      await rotate(rotationOf(id, await makeKeys()), keys.signing);
      await deactivateServer(world().db, id);
      await deactivateServer(world().db, id);
      expect(await kidsOf(id)).toEqual([]);
      expect((await listServers(world().db)).map((server) => server.id)).not.toContain(id);
      const listed = (await listRegistered(world().db)).find((server) => server.id === id);
      expect(listed).toMatchObject({ id, active: false });
      const [row] = await world().db.select().from(streamingServers).where(eq(streamingServers.id, id));
      expect(row?.previousSigningKey).toBeNull();
      expect(await codeOf(rotate(rotationOf(id, await makeKeys()), keys.signing))).toBe('server_untrusted');
    });

    it('that is not there is not found', async () => {
      expect(await codeOf(deactivateServer(world().db, newId()))).toBe('not_found');
    });
  });
}
