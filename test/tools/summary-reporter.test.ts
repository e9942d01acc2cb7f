import { describe, expect, test } from 'vitest';
import { summaryLine } from '../../tools/summary-reporter.ts';

describe('the last line of a test run', () => {
  test.each([
    [{ passed: 12, failed: 0, skipped: 0 }, '12 passed, 0 failed'],
    [{ passed: 3, failed: 2, skipped: 0 }, '3 passed, 2 failed'],
    [{ passed: 3, failed: 0, skipped: 1 }, '3 passed, 0 failed, 1 skipped'],
    [{ passed: 0, failed: 0, skipped: 0 }, '0 passed, 0 failed'],
  ])('%o reads %s', (counts, line) => {
    expect(summaryLine(counts)).toBe(line);
  });
});
