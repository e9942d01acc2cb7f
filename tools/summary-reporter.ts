import type { Reporter, TestModule } from 'vitest/node';

export interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

/** The last line of a test run. Skipped tests are named only when there are any. */
export function summaryLine({ passed, failed, skipped }: Tally): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}

/**
 * Counts the tests of a run. A module that could not be loaded and an error outside of any test
 * count as one failure each: they hide an unknown number of tests.
 */
export function tally(modules: readonly TestModule[], unhandledErrors: number): Tally {
  const counts: Tally = { passed: 0, failed: unhandledErrors, skipped: 0 };
  for (const module of modules) {
    counts.failed += module.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'passed') counts.passed += 1;
      else if (state === 'failed') counts.failed += 1;
      // A test still pending at the end of the run was interrupted: it did not pass.
      else if (state === 'pending') counts.failed += 1;
      else counts.skipped += 1;
    }
    for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
  }
  return counts;
}

/** Ends the output with `N passed, N failed`, and fails a run in which nothing ran. */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = tally(modules, unhandledErrors.length);
    if (counts.failed > 0 || counts.passed === 0) process.exitCode = 1;
    process.stdout.write(`\n${summaryLine(counts)}\n`);
  }
}
