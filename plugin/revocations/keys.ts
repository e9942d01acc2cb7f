import type { Revocation } from '../contract.ts';
import type { Revocable } from '../ports.ts';

type Kind = Revocation['kind'];

/** One name for what an entry concerns. UUIDs are compared in lower case, `sub` and `jkt` as they are. */
export function keyOf(kind: Kind, value: string): string {
  return `${kind} ${kind === 'ticket' || kind === 'session' ? value.toLowerCase() : value}`;
}

/** The names by which a ticket or session can be revoked. */
export function keysOf({ ticketId, subject, jkt, sessionId }: Revocable): string[] {
  const keys = [keyOf('ticket', ticketId), keyOf('subject', subject)];
  if (jkt !== null) keys.push(keyOf('key', jkt));
  if (sessionId !== null) keys.push(keyOf('session', sessionId));
  return keys;
}

/** How a session ends that an entry of this kind concerns. */
export const reasonOf = (kind: Kind): 'revoked' | 'kicked' => (kind === 'session' ? 'kicked' : 'revoked');
