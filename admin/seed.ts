/** The demo: titles, offers, accounts with play money, a stream key, the streaming server. Runs at each start. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { serverSchema } from '../plugin/registration.ts';
import { UNLIMITED_PLAY, type Rights } from '../plugin/rights/index.ts';
import { createStreamKey, hashStreamKey, isStreamKey } from '../plugin/ticket/index.ts';
import { createAccount, findAccountByEmail, type Role } from './accounts/accounts.ts';
import { createOffer } from './catalog/offers.ts';
import { addStreamKey } from './catalog/stream-keys.ts';
import { createTitle, findTitle } from './catalog/titles.ts';
import type { Database } from './db/connect.ts';
import { creditCustomer } from './ledger/ledger.ts';
import { money } from './ledger/money.ts';
import { registerServer } from './trust/servers.ts';

interface DemoLogin {
  readonly email: string;
  readonly password: string;
  readonly name: string;
  readonly role: Role;
  readonly what: string;
}

/** Accounts of the demo. Their passwords are no secret: the demo listens on loopback. */
export const DEMO_LOGINS: readonly DemoLogin[] = [
  {
    email: 'viewer@example.com',
    password: 'demo-viewer-1',
    name: 'Vera Viewer',
    role: 'viewer',
    what: 'a viewer with 50.00 EUR',
  },
  {
    email: 'second@example.com',
    password: 'demo-viewer-2',
    name: 'Sam Second',
    role: 'viewer',
    what: 'another viewer with 50.00 EUR',
  },
  {
    email: 'staff@example.com',
    password: 'demo-staff-1',
    name: 'Stella Staff',
    role: 'staff',
    what: 'staff',
  },
];

export const DEMO_PATH = '/live/demo';
const LATE_PATH = '/live/late';
const DEMO_BALANCE = money(5000, 'EUR');
const DAY_SECONDS = 24 * 3600;

const PLAY: Rights = { ...UNLIMITED_PLAY, controls: ['pause'] };

const TITLES = [
  {
    path: DEMO_PATH,
    name: 'Usher One',
    description:
      'The demo channel, on the air around the clock: a clock, a flash and a beep at every full second.',
    offers: [
      { name: 'Preview', priceMinor: 0, validSeconds: 600, rights: { ...PLAY, accesses: 1, seconds: 60 } },
      {
        name: '24 hours',
        priceMinor: 299,
        validSeconds: DAY_SECONDS,
        rights: { ...PLAY, accesses: 20, concurrent: 1 },
      },
    ],
  },
  {
    path: LATE_PATH,
    name: 'Evening show',
    description: 'Goes on the air later: what you buy now stays unused until it does.',
    offers: [
      {
        name: 'Tonight',
        priceMinor: 499,
        validSeconds: DAY_SECONDS,
        rights: { ...PLAY, accesses: 5, concurrent: 1 },
      },
    ],
  },
];

export interface SeedOptions {
  /** Where the demo's stream key is kept, so that it can be shown again. */
  readonly dataDir: string;
  /** File with the registration of the streaming server. */
  readonly serverFile: string | undefined;
  readonly now: Date;
}

export interface Seeded {
  readonly streamPath: string;
  readonly streamKey: string;
}

const keptSchema = z.object({ streamKey: z.string().refine(isStreamKey) });

async function keepStreamKey(dataDir: string): Promise<string> {
  const file = join(dataDir, 'demo.json');
  try {
    return keptSchema.parse(JSON.parse(await readFile(file, 'utf8'))).streamKey;
  } catch {
    const streamKey = createStreamKey();
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await writeFile(file, JSON.stringify({ streamKey }), { mode: 0o600 });
    return streamKey;
  }
}

async function seedAccounts(db: Database, now: Date): Promise<void> {
  for (const login of DEMO_LOGINS) {
    const account =
      (await findAccountByEmail(db, login.email)) ?? (await createAccount(db, login, login.role, now));
    if (login.role !== 'viewer') continue;
    const request = {
      kind: 'credit' as const,
      requestedBy: account.id,
      accountId: account.id,
      amount: DEMO_BALANCE,
      idempotencyKey: 'demo-balance',
    };
    await db.transaction((tx) => creditCustomer(tx, request, now));
  }
}

async function seedTitles(db: Database, now: Date): Promise<void> {
  for (const { offers, ...title } of TITLES) {
    if ((await findTitle(db, { path: title.path }, true)) !== null) continue;
    await db.transaction(async (tx) => {
      const titleId = await createTitle(tx, { ...title, published: true, serverIds: [] }, now);
      for (const offer of offers) {
        await createOffer(tx, { ...offer, titleId, currency: 'EUR', active: true }, now);
      }
    });
  }
}

/** Makes what is missing of the demo, and registers its streaming server as the file has it now. Idempotent. */
export async function seedDemo(db: Database, { dataDir, serverFile, now }: SeedOptions): Promise<Seeded> {
  if (serverFile !== undefined) {
    const registration: unknown = JSON.parse(await readFile(serverFile, 'utf8'));
    await registerServer(db, serverSchema.parse(registration), now);
  }
  await seedTitles(db, now);
  await seedAccounts(db, now);
  const streamKey = await keepStreamKey(dataDir);
  const title = await findTitle(db, { path: DEMO_PATH }, true);
  if (title !== null) await addStreamKey(db, title.id, hashStreamKey(streamKey), now);
  return { streamPath: DEMO_PATH, streamKey };
}
