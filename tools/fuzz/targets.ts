/** The targets by name: each is a module whose `createTarget` makes it. */
import type { FuzzTarget } from './target.ts';

export const FUZZ_NAMES = ['flv', 'mikey', 'rtsp', 'rtsp-session', 'sdp', 'srtp', 'whep'] as const;

export type FuzzName = (typeof FUZZ_NAMES)[number];

export function isFuzzName(name: string | undefined): name is FuzzName {
  const names: readonly (string | undefined)[] = FUZZ_NAMES;
  return names.includes(name);
}

export const moduleOf = (name: FuzzName): URL => new URL(`./target-${name}.ts`, import.meta.url);

export async function loadTarget(module: URL): Promise<FuzzTarget> {
  const { createTarget } = (await import(module.href)) as { createTarget: () => FuzzTarget };
  return createTarget();
}
