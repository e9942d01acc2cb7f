/** The campaign of forged tickets and proofs, through the decision that every adapter asks for: `gate.admit`. */
import type { AccessRequest } from '../../plugin/contract.ts';
import { asDenial } from '../../plugin/errors.ts';
import { PROOF_MUTANTS } from './proof-mutants.ts';
import { createRandom } from './random.ts';
import { REQUEST_MUTANTS } from './request-mutants.ts';
import { TICKET_MUTANTS, type Mutate } from './ticket-mutants.ts';
import { createForgeWorld, type ForgeWorld, type Honest } from './world.ts';

export const MUTANTS: Readonly<Record<string, Mutate>> = {
  ...TICKET_MUTANTS,
  ...PROOF_MUTANTS,
  ...REQUEST_MUTANTS,
};

export interface ForgeOptions {
  /** Forged requests to try. */
  readonly count: number;
  readonly seed: number;
  /** Told now and then of how many were tried. */
  readonly progress?: (tried: number) => void;
}

export interface ForgeResult {
  readonly tried: number;
  /** Forgeries by kind. */
  readonly kinds: ReadonlyMap<string, number>;
  /** Refusals by code. */
  readonly codes: ReadonlyMap<string, number>;
  /** Forgeries that were admitted, up to 10: there must be none. */
  readonly admitted: readonly { readonly kind: string; readonly request: AccessRequest }[];
  /** Honest requests in between, and how many of them were admitted: all must be, or the refusals mean nothing. */
  readonly honest: { readonly tried: number; readonly admitted: number };
}

/** So often comes an honest request. */
const HONEST_EVERY = 50;
/** Requests that are kept to be shown again, and to be shown too late. */
const KEPT = 20;
const KEPT_ADMITTED = 10;
/** A second of the campaign's clock: nonces change, and the replay memory forgets, as they would. */
const TRIES_PER_SECOND = 500;
/** Older than every nonce that is current. */
const STALE_SECONDS = 130;

/** The proof last: it is signed only when all else is the same. */
const MEMBERS = ['uri', 'authorization', 'method', 'url', 'fingerprint', 'peer', 'proof'] as const;
const same = (a: AccessRequest, b: AccessRequest): boolean => MEMBERS.every((name) => a[name] === b[name]);

async function decide(world: ForgeWorld, request: AccessRequest): Promise<string | null> {
  try {
    const session = await world.gate.admit(request, world.media);
    await session.end('viewer_left');
    return null;
  } catch (error) {
    const { code, cause } = asDenial(error);
    // A fault of the gate's is no refusal.
    if (code === 'internal') throw new Error('the gate failed', { cause });
    return code;
  }
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

/** Honest requests of each base, first of all and then in turn, by which it shows that the check can fail. */
async function sendHonest(world: ForgeWorld, number: number): Promise<boolean> {
  const base = world.bases[number % world.bases.length];
  if (base === undefined) throw new Error('no base');
  const honest = world.honest(base);
  if ((await decide(world, honest.request)) !== null) return false;
  world.used.push(honest);
  if (world.used.length > KEPT) world.used.shift();
  return true;
}

/** Proofs that will be too old when they are shown. */
function layAside(world: ForgeWorld): void {
  for (const base of world.bases)
    if (base.holder !== null) for (let copy = 0; copy < KEPT; copy++) world.stale.push(world.honest(base));
  world.advanceSeconds(STALE_SECONDS);
}

/** Runs the campaign. The same seed tries the same forgeries, but for the random part of signatures by ES256. */
export async function runForge({ count: wanted, seed, progress }: ForgeOptions): Promise<ForgeResult> {
  const random = createRandom(seed);
  const world = createForgeWorld(random);
  layAside(world);
  const kinds = new Map<string, number>();
  const codes = new Map<string, number>();
  const admitted: { kind: string; request: AccessRequest }[] = [];
  const honest = { tried: 0, admitted: 0 };
  const names = Object.keys(MUTANTS);
  let tried = 0;
  for (let step = 0; tried < wanted; step++) {
    if (step % HONEST_EVERY === 0 || honest.tried < world.bases.length) {
      if (await sendHonest(world, honest.tried)) honest.admitted++;
      honest.tried++;
    }
    if (step % TRIES_PER_SECOND === 0) world.advanceSeconds(1);
    const kind = names[step % names.length] ?? '';
    const original: Honest = world.honest(random.pick(world.bases));
    const request = MUTANTS[kind]?.(world, original) ?? null;
    // A mutant that equals its original is none.
    if (request === null || same(request, original.request)) continue;
    tried++;
    count(kinds, kind);
    const code = await decide(world, request);
    if (code !== null) count(codes, code);
    else if (admitted.length < KEPT_ADMITTED) admitted.push({ kind, request });
    if (tried % 10_000 === 0) progress?.(tried);
  }
  await world.gate.close('server_stopped');
  return { tried, kinds, codes, admitted, honest };
}

/** What is wrong with a result; empty when nothing is. */
export function faultsOf({ kinds, admitted, honest }: ForgeResult): string[] {
  const idle = Object.keys(MUTANTS).filter((kind) => !kinds.has(kind));
  return [
    ...admitted.map(({ kind, request }) => `admitted: ${kind}\n  ${JSON.stringify(request)}`),
    ...idle.map((kind) => `never tried: ${kind}`),
    ...(honest.admitted === honest.tried && honest.tried > 0
      ? []
      : [`honest requests: only ${honest.admitted} of ${honest.tried} were admitted`]),
  ];
}
