/**
 * Asks again and again until `read` answers something; for what another process or a socket does. How long that takes is
 * the machine's affair: the limit is there to say what a test hangs at.
 */
export async function eventually<T>(read: () => T | undefined | false, withinMs = 10_000): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const value = read();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error('it did not come to that in time');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
