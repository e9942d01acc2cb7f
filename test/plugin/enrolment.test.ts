import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { enrol, rotateServerKeys, type EnrolOptions } from '../../plugin/enrolment.ts';
import { asDenial, Denial, problemResponse } from '../../plugin/errors.ts';
import { createKeyVault } from '../../plugin/key-vault.ts';
import { loadPins } from '../../plugin/order-server-pins.ts';
import { readEnrolment } from '../../plugin/registration.ts';
import {
  keyFilePath,
  loadOrCreateServerKeys,
  readKeyFile,
  type ServerKeys,
} from '../../plugin/server-keys.ts';

const ORDERS = 'https://orders.example';
const code = `ec_${'A'.repeat(22)}`;
const fingerprint = 'A'.repeat(43);
const clock = { nowMs: () => Date.now() };
const vault = createKeyVault({ setting: 'USHER_MEDIA_MASTER_KEY' });

type Answer = (url: string, init: RequestInit) => Promise<Response> | Response;

let dataDir: string;
let keys: ServerKeys;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'usher-enrol-'));
  keys = await loadOrCreateServerKeys(dataDir, 'ss-1', 'https://media.example');
});
afterEach(() => rm(dataDir, { recursive: true, force: true }));

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: unknown) => asDenial(error).code,
  );
const json = (body: unknown) => Promise.resolve(Response.json(body));
const account = (answer: Answer, orderServerUrl = ORDERS) => ({
  ...{ orderServerUrl, serverId: 'ss-1', clock, dataDir },
  fetch: async (url: string, init: RequestInit) => answer(url, init),
});

describe('enrolling', () => {
  const enrolled = { server: 'ss-1', issuer: ORDERS, fingerprints: [fingerprint] };
  const run = (answer: Answer, changes: Partial<EnrolOptions> = {}) =>
    enrol({ ...account(answer), code, keys, ...changes });

  it('sends the public keys, signed by the one that is registered, and pins the keys that come back', async () => {
    let sent = '';
    const pins = await run((url, init) => {
      expect([url, init.method, init.redirect]).toEqual([`${ORDERS}/v1/enrolments`, 'POST', 'error']);
      sent = String(init.body);
      return json(enrolled);
    });
    expect(pins).toEqual({ issuer: ORDERS, fingerprints: [fingerprint] });
    expect(await loadPins(dataDir)).toEqual(pins);
    const message = await readEnrolment(sent, { audience: ORDERS, nowSeconds: clock.nowMs() / 1000 });
    const { id, ...registered } = keys.registration;
    expect(message).toMatchObject({ ...registered, code, iss: id });
  });

  it.each([
    'http://orders.example',
    'http://10.0.0.1:4000',
    'http://127.0.0.1.evil.example',
    'http://[2001:db8::1]:4000',
    'http://localhost.evil.example',
  ])('sends nothing to %s, which is neither TLS nor this machine', async (orderServerUrl) => {
    let asked = 0;
    const answer = () => {
      asked += 1;
      return json(enrolled);
    };
    expect(await codeOf(run(answer, { orderServerUrl }))).toBe('tls_required');
    expect(asked).toBe(0);
  });

  it.each(['http://localhost:4000', 'http://127.0.0.1:4000', 'http://[::1]:4000', ORDERS])(
    'is done with %s',
    async (orderServerUrl) => {
      const answer = () => json({ ...enrolled, issuer: orderServerUrl });
      expect(await codeOf(run(answer, { orderServerUrl }))).toBe('ok');
    },
  );

  it.each<[string, Answer, string]>([
    ['a refusal', () => problemResponse(new Denial('enrolment_refused')), 'enrolment_refused'],
    ['a refusal of another kind', () => new Response('<html>', { status: 502 }), 'order_server_unreachable'],
    [
      'a code that is not in the table',
      () => Response.json({ code: 'toString' }, { status: 400 }),
      'order_server_unreachable',
    ],
    ['an answer for another server', () => json({ ...enrolled, server: 'ss-2' }), 'order_server_unreachable'],
    [
      'an order server of another name',
      () => json({ ...enrolled, issuer: 'https://x' }),
      'order_server_unreachable',
    ],
    ['no fingerprint', () => json({ ...enrolled, fingerprints: [] }), 'order_server_unreachable'],
    ['something more', () => json({ ...enrolled, extra: 1 }), 'order_server_unreachable'],
    ['an answer without an end', () => new Response('x'.repeat(70_000)), 'order_server_unreachable'],
    ['a broken connection', () => Promise.reject(new TypeError('fetch failed')), 'order_server_unreachable'],
  ])('with %s pins nothing', async (_name, answer, expected) => {
    expect(await codeOf(run(answer))).toBe(expected);
    expect(await loadPins(dataDir)).toBeNull();
  });
});

describe('changing keys', () => {
  const path = () => keyFilePath(dataDir);
  const until = Math.floor(Date.now() / 1000) + 3600;
  const changed = { sealedUntil: until, signedUntil: until };
  const settle = () => Promise.resolve();
  const run = (answer: Answer, then = settle) =>
    rotateServerKeys({ ...account(answer), vault, settle: then });

  it('leaves the new keys and the old one for sealed tickets, which a running server reads', async () => {
    const before = [keys.signing.kid, keys.sealing.kid];
    await run(() => json(changed));
    await keys.reload();
    expect([keys.signing.kid, keys.sealing.kid]).not.toEqual(before);
    expect(keys.unsealKeys.map(({ kid }) => kid)).toEqual([keys.sealing.kid, before[1]]);
    expect((await readKeyFile(path())).previous[0]?.until).toBe(until + 60);
  });

  it('lets a running server have the next key before the order server has it', async () => {
    let unsealKeys: readonly string[] = [];
    let asked = false;
    const running = async () => {
      expect(asked).toBe(false);
      await keys.reload();
      unsealKeys = keys.unsealKeys.map(({ kid }) => kid);
    };
    await run(() => {
      asked = true;
      return json(changed);
    }, running);
    const { current } = await readKeyFile(path());
    expect(unsealKeys).toContain(current.sealing.kid);
  });

  it('goes on with the same keys when the answer was lost', async () => {
    const sent: string[] = [];
    const keep = (init: RequestInit) => {
      const [, payload = ''] = String(init.body).split('.');
      const { signingKey } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
        signingKey: { kid: string };
      };
      sent.push(signingKey.kid);
    };
    const lost: Answer = (_url, init) => {
      keep(init);
      return Promise.reject(new TypeError('fetch failed'));
    };
    expect(await codeOf(run(lost))).toBe('order_server_unreachable');
    await keys.reload();
    expect(keys.unsealKeys).toHaveLength(2);
    await run((_url, init) => {
      keep(init);
      return json(changed);
    });
    expect(sent[1]).toBe(sent[0]);
    await keys.reload();
    expect(keys.signing.kid).toBe(sent[0]);
  });

  it('is refused while another one runs, and goes on after it', async () => {
    await mkdir(`${path()}.rotating`);
    expect(await codeOf(run(() => json(changed)))).toBe('conflict');
    await rm(`${path()}.rotating`, { recursive: true });
    expect(await codeOf(run(() => json(changed)))).toBe('ok');
    expect(await codeOf(run(() => json(changed)))).toBe('ok');
  });

  it('keeps 16 keys before the current one at most, and forgets those that have run out', async () => {
    for (let count = 0; count < 16; count++) await run(() => json(changed));
    expect(await codeOf(run(() => json(changed)))).toBe('conflict');
    await keys.reload();
    expect(keys.unsealKeys).toHaveLength(17);
  });
});
