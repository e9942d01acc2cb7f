import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspectCommand } from '../../../admin/cli/ticket-inspect.ts';
import { UsageError } from '../../../admin/cli/command.ts';
import { issueTicket } from '../../../plugin/ticket/index.ts';
import { claims, NOW_SECONDS, order, orderServerKey, SERVER_ID } from '../../plugin/ticket/support.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const { ticket } = await issueTicket(order);
const clock = { nowMs: () => NOW_SECONDS * 1000, monotonicMs: () => 0 };

let folder: string;
const file = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'usher-inspect-'));
  writeFileSync(file('ticket'), `${ticket}\n`);
  writeFileSync(file('jwks.json'), JSON.stringify({ keys: [orderServerKey.publicJwk] }));
  writeFileSync(file('empty.json'), '{"keys":[]}');
  writeFileSync(file('large'), 'a'.repeat(70_000));
  writeFileSync(file('empty'), '\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(args: string[], stdin = '') {
  let output = '';
  const code = await inspectCommand(args, {
    stdin: (async function* () {
      yield Buffer.from(stdin);
    })(),
    print: (text) => void (output += text),
    clock,
  });
  return { code, output };
}

describe('ticket inspect', () => {
  it('explains a ticket from a file, line by line', async () => {
    const { code, output } = await run([file('ticket'), '--jwks', file('jwks.json'), '--server', SERVER_ID]);
    expect(code).toBe(0);
    const lines = output.split('\n');
    expect(lines[0]).toMatch(/^1,\d{3} of at most 4,096 characters$/);
    expect(lines).toContain('  exp        ends at 2026-02-02T04:40:00Z, in 2 h');
    expect(lines).toContain('  signature  valid');
    expect(lines).toContain('  insecure-test-ss-1  ECDH-ES+A256KW on X25519, A256GCM');
    expect(lines.at(-1)).toBe('no problems');
    for (const part of ticket.split('.')) expect(output).not.toContain(part);
  });

  it.each([[['-']], [[]]])('reads standard input for %j', async (args) => {
    const { code, output } = await run(args, `  ${ticket}\r\n`);
    expect(code).toBe(0);
    expect(output).toContain('signature  not checked');
  });

  it('names each problem with its code, and ends with 1', async () => {
    const { code, output } = await run(['-', '--jwks', file('empty.json'), '--server', 'other'], ticket);
    expect(code).toBe(1);
    expect(output.split('\n').slice(-3)).toEqual([
      'problems',
      '  ticket_untrusted: kid',
      '  ticket_wrong_audience: aud: does not name the server',
    ]);
  });

  it('says the same to programs', async () => {
    const { code, output } = await run(['--json', '--jwks', file('jwks.json')], ticket);
    expect(code).toBe(0);
    expect(JSON.parse(output)).toMatchObject({
      valid: true,
      verdict: { form: 'well-formed', signature: 'valid', time: 'in time' },
      problems: [],
      claims: expect.arrayContaining([{ name: 'uri', value: claims.uri, words: expect.any(Array) }]),
    });
  });

  it('takes the keys of an order server, for its own tickets only', async () => {
    const server = createServer((request, response) => {
      response
        .writeHead(request.url === '/.well-known/jwks.json' ? 200 : 404)
        .end(JSON.stringify({ keys: [orderServerKey.publicJwk] }));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const own = (await issueTicket({ ...order, claims: { ...claims, iss: issuer } })).ticket;
    expect((await run(['--issuer', `${issuer}/`], own)).code).toBe(0);
    const foreign = await run(['--issuer', issuer], ticket);
    expect(foreign.code).toBe(1);
    expect(foreign.output).toContain('ticket_untrusted: iss');
    server.close();
    server.closeAllConnections();
    const gone = await run(['--issuer', issuer], own);
    expect(gone.code).toBe(1);
    expect(gone.output).toContain('order_server_unreachable');
  });

  it.each<[string, string[], RegExp]>([
    ['an unknown option', ['--key', 'x'], /not known/],
    ['a ticket as an option', [`--${ticket}`], /not known/],
    ['two tickets', ['a', 'b'], /one ticket/],
    ['two sources of keys', ['--issuer', 'https://a.example', '--jwks', 'b'], /either/],
    ['an issuer that is no URL', ['--issuer', 'orders'], /no http/],
    ['a server id with a slash', ['--server', 'a/b'], /no server id/],
    ['a file that is not there', ['/nonexistent/ticket'], /cannot be read \(ENOENT\)/],
    ['a ticket in the place of a file', [ticket], /cannot be read/],
    ['a folder', ['/'], /cannot be read \(EISDIR\)/],
  ])('is wrong use with %s', async (_name, args, message) => {
    const outcome: unknown = await run(args, ticket).catch((error: unknown) => error);
    expect(outcome).toBeInstanceOf(UsageError);
    expect((outcome as UsageError).message).toMatch(message);
    expect((outcome as UsageError).message).not.toContain(ticket.slice(0, 20));
  });

  it.each([
    ['a file that is too large', () => [file('large')], /larger than 65536 bytes/],
    ['an empty file', () => [file('empty')], /empty/],
    ['keys that are none', () => ['--jwks', file('ticket')], /no JWK set/],
  ])('is wrong use with %s', async (_name, args, message) => {
    await expect(run(args(), ticket)).rejects.toThrow(message);
  });
});

describe('as a program', () => {
  const cli = (args: string[], input: string) =>
    spawnSync(process.execPath, [join(ROOT, 'tools', 'media-usher.mjs'), ...args], {
      input,
      encoding: 'utf8',
    });

  it('ends with 0, 1 or 2, and helps', () => {
    // The real clock: the ticket is over.
    const expired = cli(['ticket', 'inspect', '--json'], ticket);
    expect(expired.status).toBe(1);
    expect(JSON.parse(expired.stdout)).toMatchObject({ problems: [{ code: 'ticket_expired' }] });
    const wrong = cli(['ticket', 'inspect', ticket], '');
    expect(wrong.status).toBe(2);
    expect(wrong.stdout + wrong.stderr).not.toContain(ticket.slice(0, 20));
    const help = cli(['ticket', 'inspect', '--help'], '');
    expect(help.status).toBe(0);
    expect(help.stdout).toContain('--jwks FILE');
  });
});
