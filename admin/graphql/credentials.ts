/** What signing in and changing a password have in common. */
import { z } from 'zod';
import { Denial, type Code } from '../../plugin/errors.ts';
import type { Services } from '../context.ts';

const passwordInput = z.string().max(200);

/** A password that is to be compared; one that none can be is answered like one that is wrong. */
export function givenPassword(text: string): string {
  return passwordInput.safeParse(text).data ?? '';
}

/** Runs a guess at an account; its refusal with this code is held back for a random while. */
export async function delayed<T>(services: Services, code: Code, guess: () => Promise<T>): Promise<T> {
  try {
    return await guess();
  } catch (error) {
    if (error instanceof Denial && error.code === code) await services.delayRefusal();
    throw error;
  }
}
