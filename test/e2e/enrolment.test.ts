/** A media server enrols with a code at its start, and changes its keys while it runs: real processes throughout. */
import { execFile } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { generateMasterKey } from '../../plugin/key-vault.ts';
import {
  buy,
  fetchNonce,
  fingerprintOf,
  graphql,
  offersOf,
  proofFor,
  signIn,
  type Purchase,
} from '../support/shop.ts';
import {
  DEMO_PATH,
  stackEnvironment,
  startProcess,
  type RunningProcess,
  type StackEnvironment,
} from '../support/stack.ts';

const CLI = join(import.meta.dirname, '..', '..', 'admin', 'cli.ts');
const OFFER_FILE = new URL('../plugin/media/offers/chromium.sdp', import.meta.url);
const SERVER_KEYS = '{ streamingServers { id active signingKey { fingerprint } } }';

interface Listed {
  readonly streamingServers: { id: string; active: boolean; signingKey: { fingerprint: string } }[];
}

let environment: StackEnvironment;
let env: NodeJS.ProcessEnv;
let order: RunningProcess;
let media: RunningProcess;
let offer: string;
let staff: string;

beforeAll(async () => {
  environment = await stackEnvironment();
  env = {
    ...environment.env,
    USHER_DEMO_SERVER: undefined,
    USHER_MASTER_KEY: generateMasterKey(),
    USHER_MEDIA_MASTER_KEY: generateMasterKey(),
    USHER_LOG_LEVEL: 'info',
  };
  offer = await readFile(OFFER_FILE, 'utf8');
  order = await startProcess('admin/main.ts', env);
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('the demo has no staff');
  staff = await signIn(environment.orderUrl, login);
  const made = await graphql<{ registerStreamingServer: { code: string } }>(
    environment.orderUrl,
    'mutation { registerStreamingServer(id: "demo") { code } }',
    {},
    staff,
  );
  env = { ...env, USHER_ENROLMENT_CODE: made.registerStreamingServer.code };
  media = await startProcess('plugin/main.ts', env);
});
afterAll(async () => {
  await Promise.all([media.stop(), order.stop()]);
  await rm(environment.dataDir, { recursive: true, force: true });
});

const listed = async () =>
  (await graphql<Listed>(environment.orderUrl, SERVER_KEYS, {}, staff)).streamingServers;

async function buyPreview(): Promise<Purchase> {
  const preview = (await offersOf(environment.orderUrl, DEMO_PATH)).get('Preview');
  if (preview === undefined) throw new Error('no preview');
  return buy(environment.orderUrl, preview.id);
}

/** The answer to a request to play. Nothing is on the air: a ticket that opens gets as far as that. */
async function play(purchase: Purchase): Promise<string> {
  const url = purchase.whepUrl;
  const request = { method: 'POST', url, nonce: await fetchNonce(url) };
  const proof = await proofFor(purchase, request, { fingerprint: fingerprintOf(offer) });
  const headers = {
    'content-type': 'application/sdp',
    authorization: `DPoP ${purchase.ticket}`,
    dpop: proof,
  };
  const response = await fetch(url, { method: 'POST', headers, body: offer });
  return ((await response.json()) as { code: string }).code;
}
const OPENED = 'stream_offline';

it('opens tickets that are sold for it once it has enrolled', async () => {
  expect(await listed()).toMatchObject([{ id: 'demo', active: true }]);
  expect(await play(await buyPreview())).toBe(OPENED);
});

it('opens tickets sold before and after its keys were changed, without a restart', async () => {
  const [before] = await listed();
  const sold = await buyPreview();
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'media', 'rotate-keys'], { env });
  expect(stdout).toMatch(/^The keys are new/);
  const [after] = await listed();
  expect(after?.signingKey.fingerprint).not.toBe(before?.signingKey.fingerprint);
  expect(await play(sold)).toBe(OPENED);
  expect(await play(await buyPreview())).toBe(OPENED);
  const signsAnew = `"signing":"${String(after?.signingKey.fingerprint)}"`;
  await vi.waitUntil(() => media.output().includes(signsAnew), { timeout: 10_000 });
});

it('starts again with the code still set', async () => {
  await media.stop();
  media = await startProcess('plugin/main.ts', env);
  expect(await play(await buyPreview())).toBe(OPENED);
});

it('no key, code or master key is in what the processes wrote', async () => {
  const written = order.output() + media.output();
  for (const name of ['USHER_MASTER_KEY', 'USHER_MEDIA_MASTER_KEY', 'USHER_ENROLMENT_CODE']) {
    expect(env[name]).toBeTruthy();
    expect(written).not.toContain(env[name]);
  }
  expect(written).not.toContain('"d":');
});
