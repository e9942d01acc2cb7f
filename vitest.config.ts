import { defineConfig } from 'vitest/config';

/** Tests against real things: media servers, the worker, ffmpeg, Chromium, PostgreSQL. */
const REAL = [
  'test/e2e/**/*.test.ts',
  'test/db/**/*.test.ts',
  'test/host/**/*.test.ts',
  'test/**/*.real.test.ts',
];

export default defineConfig({
  test: {
    reporters: ['default', './tools/summary-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: REAL,
          testTimeout: 20_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'real',
          include: REAL,
          // One file at a time: they measure time, and share two cores with a browser and an encoder.
          maxWorkers: 1,
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
