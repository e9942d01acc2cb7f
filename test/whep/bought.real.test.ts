/** The WHEP suite as a customer would run it: two servers, an encoder, a ticket that was bought. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { whepCheckCommand } from '../../admin/cli/whep-check.ts';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { buy, createStreamKeyFor, createTitleWithOffer, signIn } from '../support/shop.ts';
import { publishTestCard, startStack, type Encoder, type Stack } from '../support/stack.ts';

const PATH = '/live/checked';
let folder: string;
let stack: Stack;
let encoder: Encoder;
let offerId: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'usher-whep-bought-'));
  stack = await startStack();
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('no staff');
  const staff = await signIn(stack.orderUrl, login);
  // Two counted accesses, one at a time: as many as the suite opens sessions.
  const rights = { accesses: 2, concurrent: 1 };
  const made = await createTitleWithOffer(stack.orderUrl, staff, PATH, { rights });
  offerId = made.offerId;
  const streamKey = await createStreamKeyFor(stack.orderUrl, staff, made.titleId);
  encoder = publishTestCard(stack.publishUrl(PATH, streamKey));
  await vi.waitUntil(
    async () => (await (await fetch(`${stack.mediaUrl}/metrics`)).text()).includes('usher_live_streams 1'),
    { timeout: 30_000, interval: 200 },
  );
});
afterAll(async () => {
  await encoder.stop();
  await stack.stop();
  await rm(folder, { recursive: true, force: true });
});

it('finds nothing wrong with the media server, and leaves nothing open', async () => {
  const { ticket, whepUrl, proofKey } = await buy(stack.orderUrl, offerId);
  const [ticketFile, keyFile] = [join(folder, 'ticket'), join(folder, 'key.json')];
  await writeFile(ticketFile, ticket);
  await writeFile(keyFile, JSON.stringify(proofKey.privateJwk));
  const lines: string[] = [];
  const print = (text: string): void => void lines.push(text);
  const code = await whepCheckCommand([whepUrl, '--ticket', ticketFile, '--key', keyFile], { print });
  expect(lines.filter((line) => /^(FAILED|advice)/.test(line))).toEqual([]);
  expect(lines.filter((line) => /^ok +(created|trickle|restart|delete|sendrecv) /.test(line))).toHaveLength(
    5,
  );
  expect(code).toBe(0);
  const metrics = await (await fetch(`${stack.mediaUrl}/metrics`)).text();
  expect(metrics).toMatch(/^usher_sessions 0$/m);
});
