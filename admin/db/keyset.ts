/** Pages of lists that are ordered by id, newest first: ids are UUIDv7, and so are cursors. */
import { and, asc, desc, gt, lt, type SQL } from 'drizzle-orm';
import type { PgColumn } from 'drizzle-orm/pg-core';
import type { Page } from '../catalog/titles.ts';

/** The rows between a page's cursors. */
export function inPage(id: PgColumn, page: Page): SQL | undefined {
  return and(
    page.after === undefined ? undefined : lt(id, page.after),
    page.before === undefined ? undefined : gt(id, page.before),
  );
}

/** The order to read a page in: an inverted one is read from its end. */
export function newestFirst(id: PgColumn, page: Page): SQL {
  return page.inverted ? asc(id) : desc(id);
}
