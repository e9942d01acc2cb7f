import { z } from 'zod';

/** 12 to 19 digits, however they are grouped: what a card number looks like (ISO/IEC 7812-1). */
const CARD_NUMBER = /(?:\d[ ._-]?){12,19}/;

/** True if a text could have a card number in it. */
export function looksLikeCardNumber(text: string): boolean {
  return CARD_NUMBER.test(text);
}

/** A card, as its provider names it. Card numbers never come here: what looks like one is refused, and not repeated. */
export const cardTokenSchema = z
  .string()
  .max(100)
  .refine((text) => !looksLikeCardNumber(text), 'a token of the payment provider, never a card number')
  .refine((text) => /^tok_[A-Za-z0-9_]{1,80}$/.test(text), 'not a token of a payment provider');
