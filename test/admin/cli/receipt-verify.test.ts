import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { UsageError } from '../../../admin/cli/command.ts';
import { verifyCommand } from '../../../admin/cli/receipt-verify.ts';
import type { Receipt } from '../../../plugin/contract.ts';
import { receiptHash } from '../../../plugin/receipts/chain.ts';
import { signReceiptHeads } from '../../../plugin/receipts/heads.ts';
import type { ProblemCode, ReceiptReport } from '../../../plugin/receipts/verify.ts';
import { generateSigningKey, signServerMessage, thumbprint } from '../../../plugin/ticket/index.ts';
import { createWriter } from '../../support/receipt-book.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const clock = { nowMs: () => 1_700_000_100_000 };
const [key, stranger, other] = await Promise.all([
  generateSigningKey(),
  generateSigningKey(),
  generateSigningKey('ES256'),
]);
const sign = (receipts: readonly Receipt[], by = key, serverId = 'ss-1') =>
  signReceiptHeads(receipts, { serverId, key: by, clock });

function chainOf(length: number, final = false): Receipt[] {
  const writer = createWriter();
  return Array.from({ length }, (_, index) =>
    writer.next(final && index === length - 1 ? 'viewer_left' : null),
  );
}

let folder: string;
const file = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'usher-verify-'));
  writeFileSync(file('jwk.json'), JSON.stringify(key.publicJwk));
  writeFileSync(file('set.json'), JSON.stringify({ keys: [other.publicJwk, key.publicJwk] }));
  writeFileSync(file('registration.json'), JSON.stringify({ id: 'ss-1', signingKey: key.publicJwk }));
  writeFileSync(file('other.json'), JSON.stringify(other.publicJwk));
  writeFileSync(file('no-key.json'), '[');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(args: string[], input: unknown) {
  let output = '';
  const text = typeof input === 'string' ? input : JSON.stringify(input);
  const code = await verifyCommand(args, {
    stdin: (async function* () {
      yield Buffer.from(text);
    })(),
    print: (line) => void (output += line),
  });
  return { code, output };
}

async function report(args: string[], input: unknown): Promise<ReceiptReport & { valid: boolean }> {
  return JSON.parse((await run([...args, '--json'], input)).output) as ReceiptReport & { valid: boolean };
}

const codesOf = ({ problems }: ReceiptReport): ProblemCode[] => problems.map(({ code }) => code);

describe('receipt verify', () => {
  it.each(['jwk.json', 'set.json', 'registration.json'])(
    'checks what a viewer was shown with %s',
    async (name) => {
      const receipts = chainOf(5, true);
      const answer = { receipts, ...sign(receipts) };
      const { code, output } = await run(['--key', file(name), '--server', 'ss-1'], answer);
      expect(output.split('\n')).toEqual([
        `session ${receipts[0]!.session}`,
        `  ticket     ${receipts[0]!.ticket}`,
        '  path       /live/demo',
        '  receipts   0 to 4',
        '  time       2023-11-14T22:13:20Z to 2023-11-14T22:13:45Z',
        '  delivered  25 s, 2,500,000 bytes',
        '  end        viewer_left',
        '  signature  valid, up to receipt 4',
        '',
        'no problems',
      ]);
      expect(code).toBe(0);
    },
  );

  it('checks answers that were collected one a line, whatever they have in common, and several sessions', async () => {
    const [first, second] = [chainOf(6), chainOf(2, true)];
    const lines = [first.slice(2, 4), first.slice(3), [...first.slice(5), ...second]].map((receipts) =>
      JSON.stringify({ receipts, ...sign(receipts) }),
    );
    const found = await report(['--fingerprint', thumbprint(key.publicJwk)], lines.join('\n'));
    expect(found).toMatchObject({ valid: true, signatures: 'checked', problems: [] });
    expect(found.chains.map(({ firstSeq, lastSeq, signedSeq }) => [firstSeq, lastSeq, signedSeq])).toEqual([
      [2, 5, 5],
      [0, 1, 1],
    ]);
  });

  it('checks batches as the order server has kept them', async () => {
    const receipts = chainOf(3, true);
    const jws = await signServerMessage({
      typ: 'receipts+jwt',
      payload: { receipts },
      iss: 'ss-1',
      aud: 'https://orders.example',
      key,
      clock,
    });
    expect(await report(['--key', file('jwk.json')], jws)).toMatchObject({ valid: true });
    expect(codesOf(await report(['--key', file('other.json')], jws))).toEqual(['key_unknown', 'unsigned']);
  });

  it('says that signatures were not checked when there is no key', async () => {
    const receipts = chainOf(2);
    const { code, output } = await run([], receipts);
    expect(code).toBe(0);
    expect(output).toContain('signature  not checked');
    expect(output).toContain('end        not yet');
  });

  const rehash = (receipts: Receipt[]): Receipt[] => {
    for (const [index, receipt] of receipts.entries()) {
      const before = receipts[index - 1];
      if (before !== undefined) receipts[index] = { ...receipt, prev: receiptHash(before) };
    }
    return receipts;
  };
  const change = (receipts: Receipt[], at: number, changes: Partial<Receipt>): Receipt[] =>
    receipts.map((receipt, index) => (index === at ? { ...receipt, ...changes } : receipt));

  it.each<[string, ProblemCode[], (chain: Receipt[]) => Receipt[]]>([
    ['a receipt is missing', ['gap'], (chain) => chain.filter((_, index) => index !== 2)],
    ['a receipt was changed', ['chain_broken'], (chain) => change(chain, 1, { bytes: 1_000_001 })],
    ['there are two of a number', ['fork'], (chain) => [...chain, { ...chain[4]!, bytes: 1_000_000 }]],
    ['a counter falls', ['falling'], (chain) => rehash(change(chain, 4, { mediaMs: 1 }))],
    [
      'time goes back',
      ['falling', 'implausible_media'],
      (chain) => rehash(change(chain, 4, { at: 1_700_000_001 })),
    ],
    ['it is another ticket’s', ['mixed'], (chain) => rehash(change(chain, 4, { ticket: chain[0]!.session }))],
    [
      'something follows the end',
      ['after_final'],
      (chain) => rehash(change(chain, 3, { state: 'final', reason: 'expired' })),
    ],
    ['more media than time', ['implausible_media'], (chain) => rehash(change(chain, 4, { mediaMs: 31_000 }))],
  ])('finds that %s', async (_what, codes, forge) => {
    expect(codesOf(await report([], chainOf(5)))).toEqual([]);
    const forged = forge(chainOf(5));
    const found = await report([], forged);
    expect(found.valid).toBe(false);
    expect(codesOf(found)).toEqual(codes);
    const { code, output } = await run([], forged);
    expect(code).toBe(1);
    expect(output).toContain(`  ${codes[0] ?? ''}: `);
  });

  it.each<[string, ProblemCode[], (receipts: Receipt[]) => object]>([
    [
      'by another key of the same name',
      ['signature_invalid', 'unsigned'],
      (receipts) => ({
        receipts,
        ...sign(receipts, { ...key, privateKey: stranger.privateKey }),
      }),
    ],
    ['by another key', ['key_unknown', 'unsigned'], (receipts) => ({ receipts, ...sign(receipts, other) })],
    [
      'by another server',
      ['wrong_server', 'unsigned'],
      (receipts) => ({
        receipts,
        ...sign(receipts, key, 'ss-2'),
      }),
    ],
    [
      'of other receipts',
      ['head_mismatch', 'unsigned'],
      (receipts) => ({
        receipts,
        ...sign(change(receipts, 3, { bytes: 5 })),
      }),
    ],
    ['of fewer', ['unsigned'], (receipts) => ({ receipts, ...sign(receipts.slice(0, 3)) })],
    ['nowhere', ['unsigned'], (receipts) => ({ receipts })],
  ])('finds that the signature is %s', async (_what, codes, forge) => {
    const found = await report(['--key', file('jwk.json'), '--server', 'ss-1'], forge(chainOf(4)));
    expect(codesOf(found)).toEqual(codes);
    expect(found.valid).toBe(false);
  });

  it('does not trust a key because it came along', async () => {
    const receipts = chainOf(2);
    const found = await report(['--fingerprint', thumbprint(key.publicJwk)], {
      receipts,
      ...sign(receipts, other),
    });
    expect(codesOf(found)).toEqual(['key_unknown', 'unsigned']);
  });

  it.each<[string, string[], string]>([
    ['two files', ['a', 'b'], '[]'],
    ['an unknown option', ['--kee', 'x'], '[]'],
    ['a file that is not there', ['nowhere'], '[]'],
    ['both kinds of key', ['--key', 'x', '--fingerprint', 'y'.repeat(43)], '[]'],
    ['a fingerprint that is none', ['--fingerprint', 'y'], '[]'],
    ['a server id that is none', ['--server', '/'], '[]'],
    ['nothing', [], ''],
    ['no receipts', [], '[]'],
    ['something else', [], '{"a":1}'],
    ['something else in a line', [], '[]\nhello.world.x'],
  ])('refuses %s', async (_what, args, input) => {
    await expect(run(args, input)).rejects.toThrow(UsageError);
  });

  it('refuses a key file that is none', async () => {
    await expect(run(['--key', file('no-key.json')], chainOf(1))).rejects.toThrow(/no JWK/);
  });

  // Four processes, which need seconds to start where the machine does other things as well.
  it('is a command of usher, with help and exit codes', { timeout: 90_000 }, () => {
    const usher = (args: string[], input = '') =>
      spawnSync(process.execPath, [join(ROOT, 'admin/cli.ts'), 'receipt', 'verify', ...args], {
        input,
        encoding: 'utf8',
        timeout: 30_000,
      });
    expect(usher(['--help']).stdout).toContain('usher receipt verify [FILE|-]');
    expect(usher([], JSON.stringify(chainOf(2)))).toMatchObject({ status: 0 });
    expect(usher([], JSON.stringify(chainOf(3).toSpliced(1, 1)))).toMatchObject({ status: 1 });
    expect(usher([], 'x')).toMatchObject({ status: 2 });
  });
});
