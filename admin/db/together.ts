/**
 * Statements of one transaction that need no answers of each other: begun together they are sent together, and done in
 * the order in which they were begun. All have ended when this does, so that none is sent after its transaction.
 * @throws what the first of them, in their order, threw: behind one that failed, the database refuses all others.
 */
export async function together<T extends readonly unknown[]>(
  begun: readonly [...T],
): Promise<{ -readonly [At in keyof T]: Awaited<T[At]> }> {
  // A query of Drizzle is begun by each `then`.
  const promises = begun.map((one) => Promise.resolve(one));
  await Promise.allSettled(promises);
  return (await Promise.all(promises)) as { -readonly [At in keyof T]: Awaited<T[At]> };
}
