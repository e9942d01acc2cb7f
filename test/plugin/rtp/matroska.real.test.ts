import { expect, test } from 'vitest';
import { matroskaHeader, matroskaPicture } from '../../../plugin/rtp/index.ts';
import { runFfmpeg } from '../media/ffmpeg.ts';

test('Matroska: ffmpeg finds each picture, with its time and its flag', async () => {
  const frames = [Buffer.alloc(400, 0x10), Buffer.alloc(20, 0x11), Buffer.alloc(70_000, 0x31)];
  const file = Buffer.concat([
    matroskaHeader({ codecId: 'V_VP8', codecPrivate: Buffer.alloc(0) }),
    ...frames.map((frame, index) =>
      // Past 2^32 ms, and a distance that no relative time of 16 bits would hold.
      matroskaPicture(2 ** 33 + index * 100_000, index === 0, [frame.subarray(0, 7), frame.subarray(7)]),
    ),
  ]);
  const probe = [
    '-f',
    'matroska',
    '-i',
    'pipe:0',
    '-c',
    'copy',
    '-copyts',
    '-f',
    'framehash',
    '-hash',
    'md5',
    '-',
  ];
  const lines = (await runFfmpeg(probe, file)).toString().split('\n');
  const packets = lines
    .filter((line) => /^0,/.test(line))
    .map((line) => line.split(',').map((field) => field.trim()));
  expect(lines).toContain('#tb 0: 1/1000');
  expect(packets.map(([, , pts, , size]) => [Number(pts), Number(size)])).toEqual([
    [2 ** 33, 400],
    [2 ** 33 + 100_000, 20],
    [2 ** 33 + 200_000, 70_000],
  ]);
});
