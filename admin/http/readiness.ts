/** Whether this process should be sent requests: `GET /readyz`. */
import { Denial } from '../../plugin/errors.ts';
import type { Services } from '../context.ts';
import { hasOwnSchema } from '../db/schema-version.ts';

const READY_WITHIN_MS = 2000;

type Asked = Pick<Services, 'db' | 'authority' | 'draining'>;

/** What is missing; `null` when nothing is. */
async function missingOf({ db, authority, draining }: Asked): Promise<string | null> {
  if (draining.aborted) return 'it is shutting down';
  const timeout = new Promise<'late'>((resolve) => setTimeout(resolve, READY_WITHIN_MS, 'late').unref());
  const answer = await Promise.race([hasOwnSchema(db).catch(() => 'late' as const), timeout]);
  if (answer === 'late') return 'the database does not answer';
  // Another process of a newer version has started: this one could misread what that one writes.
  if (!answer) return 'the database belongs to another version';
  try {
    return authority.signingKey.kid === '' ? 'the signing key is not at hand' : null;
  } catch {
    return 'the signing key is not at hand';
  }
}

/** @throws Denial `overloaded`, which says what is missing. */
export async function checkReadiness(services: Asked): Promise<void> {
  const missing = await missingOf(services);
  if (missing !== null) throw new Denial('overloaded', { detail: missing });
}
