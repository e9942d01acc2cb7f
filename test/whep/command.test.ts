import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getRequestListener } from '@hono/node-server';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../admin/cli/command.ts';
import { whepCheckCommand } from '../../admin/cli/whep-check.ts';
import { createTestServer, type ServerOptions } from './server.ts';

const SECRET = 'secret-token-1';
let folder: string;
const file = (name: string): string => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'usher-whep-command-'));
  writeFileSync(file('ticket'), 'a.b.c\n');
  writeFileSync(file('words'), 'no ticket\n');
  writeFileSync(file('key.json'), '{"kty":"OKP"}');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('whep-check', () => {
  const servers: Server[] = [];
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** Every `Origin` that the servers were asked with. */
  const origins = new Set<string | null>();

  async function serve(options: ServerOptions = {}): Promise<string> {
    const target = createTestServer(options);
    const listener = getRequestListener((request) => {
      origins.add(request.headers.get('origin'));
      return target.fetch(request);
    });
    const server = createServer((request, response) => void listener(request, response));
    servers.push(server.listen(0, '127.0.0.1'));
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/whep`;
  }

  async function run(...args: string[]): Promise<{ code: number; output: string }> {
    let output = '';
    const print = (text: string): void => void (output += `${text}\n`);
    return { code: await whepCheckCommand(args, { print, paceMs: 0 }), output };
  }

  it('prints a line for each check, and a summary', async () => {
    const { code, output } = await run(await serve({ token: SECRET }), '--bearer', SECRET);
    expect(code).toBe(0);
    expect(output).toMatch(/^ok {6}created {2}.+ {2}\[MUST, 4\.2\.1\]$/m);
    expect(output).toMatch(
      /^n\/a {5}consent {2}.+\(needs a connected ICE and DTLS session.+\) {2}\[MUST, 4\.2\.8\]$/m,
    );
    expect(output).toMatch(/\n\n\d+ passed, 0 failed, \d+ not applicable\n$/);
    expect(output).not.toContain(SECRET);
  });

  it('asks as the page that it is given', async () => {
    origins.clear();
    await run(await serve(), '--origin', 'https://page.example');
    expect([...origins]).toEqual(['https://page.example']);
  });

  it('ends with 1 when a check failed', async () => {
    const { code, output } = await run(await serve({ deletesByTag: true }));
    expect(code).toBe(1);
    expect(output).toMatch(
      /^FAILED {2}delete-tag {2}DELETE ignores If-Match \(status 412\) {2}\[MUST, 4\.4\.1\]$/m,
    );
    expect(output).toMatch(/\d+ passed, 1 failed, \d+ not applicable\n$/);
  });

  it('ends with 0 when a SHOULD is not followed, and says so', async () => {
    const { code, output } = await run(await serve({ restart: false, trickle: false }));
    expect(code).toBe(0);
    expect(output).toMatch(/^advice {2}ice-recommended /m);
    expect(output).toMatch(/ not applicable, 1 not followed \(SHOULD\)\n$/);
  });

  it('ends with 2 when it was not let in', async () => {
    const { code, output } = await run(await serve({ token: SECRET }));
    expect(code).toBe(2);
    expect(output).toContain('No session was opened');
  });

  it('ends with 2 when nobody is there', async () => {
    const url = await serve();
    servers[0]?.close();
    const { code, output } = await run(url);
    expect([code, output]).toEqual([2, 'The server cannot be reached: no reply (ECONNREFUSED)\n']);
    expect((await run(url, '--json')).output).toBe('{"error":"no reply (ECONNREFUSED)"}\n');
  });

  it('gives the same as JSON, without the query of the URL', async () => {
    const url = await serve();
    const { code, output } = await run(`${url}?token=${SECRET}`, '--json', '--timeout', '5');
    expect(code).toBe(0);
    expect(output).not.toContain(SECRET);
    const report = JSON.parse(output) as Record<string, unknown> & { checks: { outcome: string }[] };
    expect(report).toMatchObject({ url, draft: 'draft-ietf-wish-whep-03', opened: true, failed: 0 });
    const passed = report.checks.filter(({ outcome }) => outcome === 'passed').length;
    expect(report.passed).toBe(passed);
    expect(report.checks[0]).toMatchObject({ id: 'https', section: '5', level: 'MUST' });
  });

  it.each([
    [[], 'URL'],
    [['ftp://whep.example/'], 'URL'],
    [['https://a:b@whep.example/'], 'no name or password'],
    [['https://whep.example/', 'https://whep.example/'], 'one URL'],
    [['https://whep.example/', '--bearer', 'two words'], '--bearer'],
    [['https://whep.example/', '--ticket', 'ticket'], '--ticket and --key'],
    [['https://whep.example/', '--ticket', 'a', '--key', 'b', '--bearer', 'c'], 'either'],
    [['https://whep.example/', '--origin', 'https://page.example/x'], '--origin'],
    [['https://whep.example/', '--timeout', '0'], '--timeout'],
    [['https://whep.example/', '--timeout', 'soon'], '--timeout'],
    [['https://whep.example/', `--${SECRET}`], 'not known'],
  ])('refuses %j', async (args, why) => {
    await expect(run(...args)).rejects.toThrow(UsageError);
    await expect(run(...args)).rejects.toThrow(why);
    await expect(run(...args)).rejects.not.toThrow(SECRET);
  });

  it.each([
    ['nothing', 'key.json', 'the ticket cannot be read (ENOENT)'],
    ['words', 'key.json', 'no ticket'],
    ['ticket', 'words', 'no private JWK'],
    ['ticket', 'key.json', 'no private JWK'],
  ])('refuses the files %s and %s', async (ticket, key, why) => {
    const wrong = run('https://whep.example/', '--ticket', file(ticket), '--key', file(key));
    await expect(wrong).rejects.toThrow(UsageError);
    await expect(wrong).rejects.toThrow(why);
  });
});
