import { bigint, timestamp } from 'drizzle-orm/pg-core';

/** A moment. */
export const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });
/** An integer up to 2^53 - 1. */
export const counter = (name: string) => bigint(name, { mode: 'number' });
