/** The demo: titles, offers, accounts with play money, a stream key, the streaming server. Runs at each start. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { serverSchema } from '../plugin/registration.ts';
import { UNLIMITED_PLAY, type Rights } from '../plugin/rights/index.ts';
import { createStreamKey, hashStreamKey, isStreamKey } from '../plugin/ticket/index.ts';
import { createAccount, findAccountByEmail } from './accounts/accounts.ts';
import type { Role } from './accounts/permissions.ts';
import { createCategory, listCategories } from './catalog/categories.ts';
import { createOffer, type OfferInput } from './catalog/offers.ts';
import { addStreamKey } from './catalog/stream-keys.ts';
import { createTitle, findTitle, type TitleInput } from './catalog/titles.ts';
import type { Database, Executor } from './db/connect.ts';
import { creditCustomer } from './ledger/ledger.ts';
import { money } from './ledger/money.ts';
import { createPromotion } from './pricing/promotions.ts';
import type { TimeOption } from './pricing/time-options.ts';
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
    role: 'admin',
    what: 'staff, with all permissions',
  },
];

export const DEMO_PATH = '/live/demo';
const LATE_PATH = '/live/late';
const DEMO_BALANCE = money(5000, 'EUR');
const DAY_SECONDS = 24 * 3600;

const MONTH_SECONDS = 30 * DAY_SECONDS;

const CATEGORIES = [
  { slug: 'channels', name: 'Channels' },
  { slug: 'events', name: 'Events' },
];

const raw = (validSeconds: number, rights: Partial<Rights>) =>
  ({
    kind: 'rights',
    rights: { ...UNLIMITED_PLAY, controls: ['pause'], ...rights },
    validSeconds,
  }) satisfies TimeOption;

const TITLES = [
  {
    path: DEMO_PATH,
    name: 'Usher One',
    description:
      'The demo channel, on the air around the clock: a clock, a flash and a beep at every full second.',
    languages: ['en'],
    category: 'channels',
    offers: [
      {
        name: 'Preview',
        priceMinor: 0,
        timeOption: { kind: 'preview', seconds: 60 },
        controls: ['pause'],
        previewsPerAddress: 200,
        previewsPerTitle: 10_000,
      },
      {
        name: '24 hours',
        priceMinor: 299,
        timeOption: raw(DAY_SECONDS, { accesses: 20, concurrent: 1 }),
        unusedPolicy: 'refund',
      },
      {
        name: '2 days from first view',
        priceMinor: 449,
        timeOption: { kind: 'from_first_view', seconds: 2 * DAY_SECONDS, validSeconds: MONTH_SECONDS },
        tier: { name: 'HD', maxHeight: 1080 },
        concurrent: 1,
        controls: ['pause'],
      },
      {
        name: 'By the minute',
        meterPriceMinor: 2,
        timeOption: { kind: 'metered', unit: 'minute', max: 120, validSeconds: DAY_SECONDS / 2 },
        concurrent: 1,
        controls: ['pause'],
      },
    ],
  },
  {
    path: LATE_PATH,
    name: 'Evening show',
    description: 'Goes on the air later: what you buy now stays unused until it does.',
    languages: ['en'],
    category: 'events',
    offers: [
      {
        name: 'Tonight',
        priceMinor: 499,
        timeOption: raw(DAY_SECONDS, { accesses: 5, concurrent: 1 }),
      },
    ],
  },
] satisfies readonly DemoTitle[];

interface DemoTitle extends Pick<TitleInput, 'path' | 'name' | 'description' | 'languages'> {
  /** Slug. */
  readonly category: string;
  readonly offers: readonly Omit<OfferInput, 'titleId' | 'categoryId' | 'currency' | 'active'>[];
}

const CATEGORY_OFFER: Omit<OfferInput, 'categoryId'> = {
  name: 'All channels for a month',
  priceMinor: 999,
  currency: 'EUR',
  timeOption: { kind: 'category', seconds: MONTH_SECONDS },
  concurrent: 2,
  controls: ['pause'],
  active: true,
};

/** The demo's promotion: 20 percent off everything. */
const DEMO_PROMOTION = { code: 'USHER20', name: 'Opening', percent: 20 };

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

async function seedCategory(tx: Executor, slug: string, now: Date): Promise<string> {
  const known = (await listCategories(tx)).find((category) => category.slug === slug);
  if (known !== undefined) return known.id;
  const input = CATEGORIES.find((category) => category.slug === slug);
  if (input === undefined) throw new TypeError(`${slug} is no category of the demo`);
  const { id } = await createCategory(tx, input, now);
  if (slug === 'channels') {
    await createOffer(tx, { ...CATEGORY_OFFER, categoryId: id }, now);
    await createPromotion(tx, DEMO_PROMOTION, now);
  }
  return id;
}

async function seedTitles(db: Database, now: Date): Promise<void> {
  for (const { offers, category, ...title } of TITLES) {
    if ((await findTitle(db, { path: title.path }, 'all')) !== null) continue;
    await db.transaction(async (tx) => {
      const categoryIds = [await seedCategory(tx, category, now)];
      const titleId = await createTitle(tx, { ...title, categoryIds, published: true, serverIds: [] }, now);
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
  const title = await findTitle(db, { path: DEMO_PATH }, 'all');
  if (title !== null) await addStreamKey(db, title.id, hashStreamKey(streamKey), now);
  return { streamPath: DEMO_PATH, streamKey };
}
