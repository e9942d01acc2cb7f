/** Waits until a path has media on the stage. */
export async function framesOnAir(
  stage: { isLive(path: string): boolean },
  path: string,
  withinMs = 15_000,
): Promise<void> {
  const deadline = AbortSignal.timeout(withinMs);
  while (!stage.isLive(path)) {
    if (deadline.aborted) throw new Error(`${path} did not come on the air`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
