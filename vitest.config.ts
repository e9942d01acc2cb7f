import { defineConfig } from 'vitest/config';

/** Tests against real things: media servers, the worker, ffmpeg, Chromium, PostgreSQL. */
const REAL = [
  'test/e2e/**/*.test.ts',
  'test/db/**/*.test.ts',
  'test/host/**/*.test.ts',
  'test/**/*.real.test.ts',
];

/** Those of them that mostly wait, for processes to start and to end, and measure no time below seconds. */
const PATIENT = [
  'test/admin/**/!(revocation-feed).real.test.ts',
  'test/e2e/{another-machine,bad-input,demo,elsewhere,enhanced-rtmp,enrolment,forgotten,ipv6,proxy,refusals,shop,tls,turn}.test.ts',
  'test/examples/*.real.test.ts',
  'test/interop/*.real.test.ts',
  'test/plugin/adapters/mediasoup.real.test.ts',
  // Not where bandwidth is estimated.
  'test/plugin/adapters/mediasoup/!(simulcast).real.test.ts',
  'test/plugin/adapters/node-media-server/{browser,enhanced,table-*}.real.test.ts',
  'test/tools/dataset.real.test.ts',
  'test/vectors/**/*.real.test.ts',
  'test/whep/*.real.test.ts',
];

const REAL_LIMITS = {
  testTimeout: 120_000,
  hookTimeout: 120_000,
  /** Of tests that say they may run side by side: each has an encoder and a page of its own. */
  maxConcurrency: 2,
};

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
          hookTimeout: 60_000,
          // Otherwise one less than there are cores.
          maxWorkers: '100%',
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'patient',
          include: PATIENT,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          ...REAL_LIMITS,
        },
      },
      {
        test: {
          name: 'real',
          include: REAL,
          exclude: PATIENT,
          // One file at a time: they measure time, and share two cores with a browser and an encoder.
          maxWorkers: 1,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
          ...REAL_LIMITS,
        },
      },
    ],
  },
});
