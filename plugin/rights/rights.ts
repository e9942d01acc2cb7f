import { z } from 'zod';
import { Denial } from '../errors.ts';

const count = z.number().int().positive().max(Number.MAX_SAFE_INTEGER);

/** Upper limits on what a viewer gets; a limit that is absent does not limit. */
export const tierSchema = z.strictObject({
  /** Pixels. */
  maxHeight: z.number().int().min(16).max(8192).optional(),
  /** Bits per second of video. */
  maxBitrate: z.number().int().min(1000).max(1_000_000_000).optional(),
  /** Bits per second of audio. */
  audioBitrate: z.number().int().min(6000).max(1_000_000).optional(),
});

/** What a ticket allows (docs/protocol.md). `null` means "not limited". Unknown members are refused. */
export const rightsSchema = z.strictObject({
  action: z.enum(['play', 'publish']),
  /** Admissions. */
  accesses: count.nullable(),
  /** Seconds of media. */
  seconds: count.nullable(),
  /** Bytes of media. */
  bytes: count.nullable(),
  /** Sessions at the same time. */
  concurrent: count.nullable(),
  /** Seconds from the first commit, fixed by the order server then. */
  window: count.nullable(),
  onExcess: z.literal('reject-new'),
  controls: z
    .array(z.enum(['pause', 'seek']))
    .max(2)
    .refine((controls) => new Set(controls).size === controls.length, 'a control is named twice'),
  tier: tierSchema,
});

export type Rights = z.infer<typeof rightsSchema>;
export type Tier = z.infer<typeof tierSchema>;

const TIER_LIMITS = ['maxHeight', 'maxBitrate', 'audioBitrate'] as const satisfies (keyof Tier)[];

/** Playing without any limit: what a rights template starts from. */
export const UNLIMITED_PLAY: Rights = {
  action: 'play',
  accesses: null,
  seconds: null,
  bytes: null,
  concurrent: null,
  window: null,
  onExcess: 'reject-new',
  controls: [],
  tier: {},
};

/** What a client says that it wants; a part of its proof, so that nobody in between can widen or narrow it. */
export const askSchema = z.strictObject({
  action: z.enum(['play', 'publish']),
  tier: tierSchema.optional(),
});
export type Ask = z.infer<typeof askSchema>;

/** True if an access must be counted by the order server. */
export function isCounted(rights: Rights): boolean {
  return (
    rights.accesses !== null ||
    rights.seconds !== null ||
    rights.bytes !== null ||
    rights.concurrent !== null ||
    rights.window !== null
  );
}

/**
 * Checks that `rights` grant what was asked.
 * @throws Denial `rights_insufficient` when the action differs or the asked tier is above the granted one.
 */
export function authorizeAsk(rights: Rights, ask: Ask): void {
  if (ask.action !== rights.action) throw new Denial('rights_insufficient', { detail: 'action' });
  for (const limit of TIER_LIMITS) {
    const granted = rights.tier[limit];
    const asked = ask.tier?.[limit];
    // Asking for a tier without naming a limit that the grant has is asking for what is granted.
    if (granted !== undefined && asked !== undefined && asked > granted) {
      throw new Denial('rights_insufficient', { detail: `tier.${limit}` });
    }
  }
}

/**
 * Checks that `next` allows what `held` allows a viewer to see and do; how often, how long and how much is left out.
 * @throws Denial `rights_insufficient`, its detail naming what is less.
 */
export function requireAsMuch(next: Rights, held: Rights): void {
  if (next.action !== held.action) throw new Denial('rights_insufficient', { detail: 'action' });
  for (const limit of TIER_LIMITS) {
    if ((next.tier[limit] ?? Infinity) < (held.tier[limit] ?? Infinity))
      throw new Denial('rights_insufficient', { detail: `tier.${limit}` });
  }
  if (!held.controls.every((control) => next.controls.includes(control)))
    throw new Denial('rights_insufficient', { detail: 'controls' });
}

/** The limits on what a viewer gets: those that were granted and, where they are lower, those that he asked for. */
export function tierOf({ rights, ask }: { readonly rights: Rights; readonly ask: Ask }): Tier {
  const lower = TIER_LIMITS.map((limit) => {
    const value = Math.min(rights.tier[limit] ?? Infinity, ask.tier?.[limit] ?? Infinity);
    return [limit, value] as const;
  });
  return Object.fromEntries(lower.filter(([, value]) => value !== Infinity));
}
