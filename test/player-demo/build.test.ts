import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildPlayer } from '../../player-demo/build.ts';

let outDir: string;
const text = (name: string): Promise<string> => readFile(join(outDir, name), 'utf8');

beforeAll(async () => {
  outDir = await mkdtemp(join(tmpdir(), 'usher-player-'));
  await buildPlayer(outDir);
});
afterAll(() => rm(outDir, { recursive: true }));

test('the build is four files', async () => {
  expect((await readdir(outDir)).sort()).toEqual(['app.css', 'app.js', 'favicon.svg', 'index.html']);
});

test('the page loads its own files only, and holds no inline script or style', async () => {
  const html = await text('index.html');
  const loaded = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => match[1]);
  expect(loaded.sort()).toEqual(['app.css', 'app.js', 'favicon.svg']);
  expect(html).not.toMatch(/<style|\sstyle=|<[^>]*\son[a-z]+="|"javascript:/i);
  expect(html.match(/<script[^>]*>/g)).toEqual(['<script type="module" src="app.js">']);
});

describe('nothing outside is asked for', () => {
  test('the style sheet loads nothing', async () => {
    expect(await text('app.css')).not.toMatch(/@import|url\(/);
  });

  test('the script names no address but name spaces, header extensions and the words of the help page', async () => {
    const addresses = (await text('app.js')).match(/(?:https?|wss?):\/\/[^"'`\s)$]*/g) ?? [];
    expect([...new Set(addresses)].sort()).toEqual([
      'http://localhost',
      'http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01',
      'http://www.w3.org/2000/svg',
      'http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time',
      'https://',
    ]);
  });

  test('the script evaluates no text as code', async () => {
    expect(await text('app.js')).not.toMatch(
      /\beval\(|new Function\(|\.innerHTML\b|insertAdjacentHTML|document\.write/,
    );
  });
});
