/** What a media server does at its start about its order server; here that one is a few lines. */
import { createServer, type RequestListener, type Server } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { systemClock as clock } from '../../plugin/clock.ts';
import { readMediaConfig } from '../../plugin/config.ts';
import { asDenial } from '../../plugin/errors.ts';
import { endorseKey } from '../../plugin/key-endorsement.ts';
import { loadPins, savePins } from '../../plugin/order-server-pins.ts';
import { loadOrCreateServerKeys } from '../../plugin/server-keys.ts';
import { generateSigningKey, type SigningKeyPair } from '../../plugin/ticket/index.ts';
import { trustOrderServer } from '../../plugin/trusted-order-server.ts';

const code = `ec_${'A'.repeat(22)}`;
let first: SigningKeyPair;
let second: SigningKeyPair;
beforeAll(async () => {
  [first, second] = await Promise.all([generateSigningKey(), generateSigningKey()]);
});

let dataDir: string;
let server: Server;
let issuer: string;
let keys: object[];
let enrolments: number;
const lines: object[] = [];
const note = (fields: object): void => void lines.push(fields);
const log = { debug: note, info: note, warn: note, error: note };

const answer: RequestListener = (request, response) => {
  if (request.url === '/v1/enrolments') {
    enrolments += 1;
    response.end(JSON.stringify({ server: 'ss-1', issuer, fingerprints: [first.kid] }));
  } else {
    response.end(JSON.stringify({ keys }));
  }
};

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'usher-trust-'));
  enrolments = 0;
  lines.length = 0;
  keys = [first.publicJwk];
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  issuer = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(dataDir, { recursive: true, force: true });
});

async function trust(env: NodeJS.ProcessEnv = {}) {
  const config = readMediaConfig({
    USHER_SERVER_ID: 'ss-1',
    USHER_ORDER_SERVER_URL: issuer,
    USHER_MEDIA_DATA: dataDir,
    ...env,
  });
  const serverKeys = await loadOrCreateServerKeys(dataDir, 'ss-1', config.publicUrl);
  return trustOrderServer({ config, serverKeys, clock, log });
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'ok',
    (error: unknown) => asDenial(error).code,
  );

it('enrols with a code at the first start, and not again at the next with the code still set', async () => {
  await trust({ USHER_ENROLMENT_CODE: code });
  expect(enrolments).toBe(1);
  expect(await loadPins(dataDir)).toEqual({ issuer, fingerprints: [first.kid] });
  const source = await trust({ USHER_ENROLMENT_CODE: code });
  expect(enrolments).toBe(1);
  expect((await source.findSigningKey(issuer, first.kid, 'Ed25519')).type).toBe('public');
});

it('once enrolled it takes no key that the pinned one has not endorsed, and says whose it refuses', async () => {
  await trust({ USHER_ENROLMENT_CODE: code });
  keys = [first.publicJwk, second.publicJwk];
  const source = await trust();
  expect(await codeOf(source.findSigningKey(issuer, second.kid, 'Ed25519'))).toBe('ticket_untrusted');
  expect(await codeOf(source.findSigningKey(issuer, first.kid, 'Ed25519'))).toBe('ok');
  expect(lines).toContainEqual({ fingerprint: second.kid });
});

it('follows a rotation, over a restart', async () => {
  await trust({ USHER_ENROLMENT_CODE: code });
  const endorsement = endorseKey(first, { issuer, jwk: second.publicJwk, nowMs: Date.now() });
  keys = [{ ...second.publicJwk, endorsement }, first.publicJwk];
  expect(await codeOf((await trust()).findSigningKey(issuer, second.kid, 'Ed25519'))).toBe('ok');
  keys = [{ ...second.publicJwk, endorsement }];
  expect(await codeOf((await trust()).findSigningKey(issuer, second.kid, 'Ed25519'))).toBe('ok');
});

it('without an enrolment it trusts the key set of the URL', async () => {
  const source = await trust();
  expect(await codeOf(source.findSigningKey(issuer, first.kid, 'Ed25519'))).toBe('ok');
  expect(enrolments).toBe(0);
});

it('does not start when it has enrolled with another order server', async () => {
  await savePins(dataDir, { issuer: 'https://other.example', fingerprints: [first.kid] });
  await expect(trust()).rejects.toThrow(/enrolled with another order server/);
  await trust({ USHER_ENROLMENT_CODE: code });
  expect(await loadPins(dataDir)).toMatchObject({ issuer });
});

it('does not start when it cannot enrol', async () => {
  const elsewhere = { USHER_ENROLMENT_CODE: code, USHER_ORDER_SERVER_URL: 'http://orders.example' };
  expect(await codeOf(trust(elsewhere))).toBe('tls_required');
});
