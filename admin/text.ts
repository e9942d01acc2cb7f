import { z } from 'zod';

/** One line for people to read: trimmed, without control characters (the database refuses NUL). */
export function lineSchema(minChars: number, maxChars: number): z.ZodType<string, string> {
  return z
    .string()
    .trim()
    .min(minChars)
    .max(maxChars)
    .regex(/^\P{Cc}*$/u, 'control characters are not allowed');
}

/** Text of several lines. */
export function textSchema(maxChars: number): z.ZodType<string, string> {
  return z
    .string()
    .max(maxChars)
    .regex(/^[\P{Cc}\n\r\t]*$/u, 'control characters are not allowed');
}
