/** `usher play` against the RTSP server and the real gate, with a stream that the test sends. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test, vi } from 'vitest';
import { UsageError } from '../../../admin/cli/command.ts';
import { playCommand } from '../../../admin/cli/play.ts';
import { createDialogue } from '../../../admin/cli/play/dialogue.ts';
import { openLink, type Link } from '../../../admin/cli/play/link.ts';
import { keepRenewed } from '../../../admin/cli/play/renewals.ts';
import { longest, readTickets, type HeldTicket } from '../../../admin/cli/play/tickets.ts';
import { openRtsp, type RtspServer } from '../../../plugin/adapters/rtsp.ts';
import { systemClock } from '../../../plugin/clock.ts';
import { createKeyNonce } from '../../../plugin/rtsp/keys.ts';
import { makeGrant, silentLog } from '../../support/doubles.ts';
import { eventually } from '../../support/eventually.ts';
import { setUpGate } from '../../support/gates.ts';
import { createTicketWorld, PATH, type TicketWorld, type Viewer } from '../../support/tickets.ts';
import { createFakeStream, type FakeStream } from '../../plugin/adapters/rtsp/fake-stream.ts';

let folder: string;
let world: TicketWorld;
let house: ReturnType<typeof setUpGate>;
let stream: FakeStream;
let server: RtspServer;
let viewer: Viewer;
let url: string;
const file = (name: string): string => join(folder, name);
const nowSeconds = (): number => Math.floor(Date.now() / 1000);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'usher-play-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const AAC = { name: 'AAC', sampleRateHz: 44_100, channels: 1, config: Buffer.from('1208', 'hex') } as const;

beforeEach(async () => {
  world = await createTicketWorld(systemClock);
  house = setUpGate(world, systemClock);
  await serve(createFakeStream());
  viewer = await world.newViewer();
});

async function serve(what: FakeStream): Promise<void> {
  stream = what;
  server = await openRtsp({
    ...{ gate: house.gate, stage: stream, host: '127.0.0.1', udpPort: 0, clock: systemClock, log: silentLog },
    rtsp: {
      port: 0,
      get publicUrl() {
        return `rtsp://127.0.0.1:${String(server.ports.rtsp)}`;
      },
    },
  });
  url = `rtsp://127.0.0.1:${String(server.ports.rtsp)}${PATH}`;
}
afterEach(async () => {
  await house.gate.close('server_stopped');
  server.close();
});

/** A ticket as it is in the file. */
async function entry(claims = {}): Promise<object> {
  const { ticket, clientPart } = await world.issueFor(viewer, { rights: makeGrant().rights, ...claims });
  return {
    ...{ ticket, clientPart, proofKey: viewer.proofKey.privateJwk, sealKey: viewer.sealKey.privateJwk },
    note: 'of whoever keeps the file',
  };
}

function write(content: unknown, name = 'tickets.json'): string {
  writeFileSync(file(name), typeof content === 'string' ? content : JSON.stringify(content));
  return file(name);
}

const held = async (claims = {}): Promise<HeldTicket> => {
  const [ticket] = await readTickets(write([await entry(claims)], 'held.json'));
  if (ticket === undefined) throw new Error('no ticket');
  return ticket;
};

interface Running {
  readonly code: Promise<number>;
  stop(): void;
  readonly printed: string[];
  readonly said: string[];
}

function run(...args: string[]): Running {
  const { signal, abort } = (() => {
    const controller = new AbortController();
    return { signal: controller.signal, abort: () => controller.abort() };
  })();
  const [printed, said]: [string[], string[]] = [[], []];
  const code = playCommand(args, {
    print: (text) => void printed.push(text),
    say: (text) => void said.push(text),
    signal,
  });
  return { code, stop: abort, printed, said };
}

describe.each(['tcp', 'udp'])('by %s', (transport) => {
  it('media is opened and written, and the session torn down with its receipts', async () => {
    const tickets = write({ tickets: [await entry({ exp: nowSeconds() + 60 }), await entry()] });
    const output = file(`${transport}.mkv`);
    const running = run(url, '--ticket', tickets, '--transport', transport, '--output', output, '--json');
    await eventually(() => stream.listeners() === 2);
    // Until the first packets have been written: what a datagram's way takes is not known.
    await eventually(() => {
      stream.mediaMs += 40;
      stream.picture(true, 3000);
      stream.sound();
      stream.reports();
      return statSync(output).size > 20_000;
    });
    running.stop();
    expect(await running.code).toBe(0);
    const media = readFileSync(output);
    expect(media.includes('V_MPEG4/ISO/AVC')).toBe(true);
    expect(media.includes('A_OPUS')).toBe(true);
    expect(media.includes(Buffer.concat([Buffer.from('00000bb965', 'hex'), Buffer.alloc(3000, 0x5a)]))).toBe(
      true,
    );
    expect(media.includes(Buffer.alloc(80, 0xa5))).toBe(true);
    const summary = JSON.parse(running.printed.join('')) as { lines: { packets: number }[] };
    expect(summary).toMatchObject({
      end: 'stopped',
      lines: [
        { kind: 'video', codec: 'H264', lost: 0, refused: {} },
        { kind: 'audio', codec: 'opus' },
      ],
      receipts: { valid: true, problems: [], chains: [{ endReason: 'viewer_left' }] },
    });
    expect(house.redemptions.calls).toContain('commit');
    expect(house.gate.sessions()).toEqual([]);
  });
});

it('AAC is written as it is, with its configuration', async () => {
  server.close();
  await serve(createFakeStream(AAC));
  const output = file('aac.mkv');
  const running = run(url, '--ticket', write([await entry()]), '--output', output, '--json');
  await eventually(() => stream.listeners() === 2);
  await eventually(() => {
    stream.mediaMs += 40;
    stream.picture(true, 3000);
    // Longer than a packet.
    stream.sound(2000);
    stream.reports();
    return statSync(output).size > 20_000;
  });
  running.stop();
  expect(await running.code).toBe(0);
  const media = readFileSync(output);
  expect(
    media.includes(
      Buffer.concat([Buffer.from('A_AAC'), Buffer.from('63a2' + '0100000000000002' + '1208', 'hex')]),
    ),
  ).toBe(true);
  expect(media.includes(Buffer.alloc(2000, 0xa5))).toBe(true);
  expect(JSON.parse(running.printed.join(''))).toMatchObject({
    lines: [{ codec: 'H264' }, { codec: 'AAC', lost: 0 }],
  });
});

it('the end of the stream is told, with code 3', async () => {
  const running = run(url, '--ticket', write(await entry()));
  await eventually(() => stream.listeners() === 2);
  stream.end();
  expect(await running.code).toBe(3);
  expect(running.printed.join('')).toContain('ended by the server');
  expect(running.printed.join('')).toContain('receipts: none');
});

it('why the server has ended it is in the last receipt, which is told afterwards', async () => {
  const running = run(url, '--ticket', write(await entry()));
  await eventually(() => stream.listeners() === 2);
  await eventually(() => {
    stream.picture(true);
    return house.redemptions.calls.includes('commit');
  });
  await house.gate.sessions()[0]?.end('kicked');
  expect(await running.code).toBe(3);
  expect(running.printed.join('')).toMatch(/^receipt 0: .* \(kicked\)$/m);
});

it('keys that others can read are said', async () => {
  const tickets = write([await entry()]);
  for (const [mode, said] of [
    [0o600, []],
    [0o640, ['others can read the keys in the file of --ticket: chmod 600']],
  ] as const) {
    chmodSync(tickets, mode);
    const running = run(url, '--ticket', tickets, '--seconds', '0.1');
    expect(await running.code).toBe(0);
    expect(running.said).toEqual(said);
  }
});

it('it ends by itself after the seconds that were asked for', async () => {
  expect(await run(url, '--ticket', write([await entry()]), '--seconds', '0.1').code).toBe(0);
});

describe('what is refused is said, and nothing is played', () => {
  test.each<[string, () => Promise<unknown>, string]>([
    [
      'an expired ticket',
      () => entry({ iat: 1, nbf: 1, exp: 2 }),
      'DESCRIBE is refused with 401: ticket_expired',
    ],
    ['a ticket for another server', () => entry({ aud: ['other'] }), 'ticket_wrong_audience'],
    ['no ticket for the stream', () => entry({ uri: '/live/other' }), 'no ticket for this stream'],
    [
      'the client part of another ticket',
      async () => ({
        ...(await entry()),
        clientPart: ((await entry()) as { clientPart: string }).clientPart,
      }),
      'client part',
    ],
  ])('%s', async (_what, make, why) => {
    await expect(run(url, '--ticket', write(await make())).code).rejects.toThrow(why);
    expect(house.redemptions.calls).toEqual([]);
  });

  it('another name of the server is, with what to do about it', async () => {
    const other = url.replace('127.0.0.1', 'localhost');
    await expect(run(other, '--ticket', write(await entry())).code).rejects.toThrow(
      'htu; take the URL that the server is known by',
    );
  });

  it('a server that is not there', async () => {
    const tickets = write(await entry());
    server.close();
    await expect(run(url, '--ticket', tickets).code).rejects.toThrow('cannot be reached (ECONNREFUSED)');
  });

  test.each<[string, string[]]>([
    ['no URL', ['--ticket', 'x']],
    ['another scheme', ['https://a/b', '--ticket', 'x']],
    ['a pass in the URL', ['rtsp://a/live/b?pass=ps_x', '--ticket', 'x']],
    ['a password in the URL', ['rtsp://u:ps_x@a/live/b', '--ticket', 'x']],
    ['no ticket', ['rtsp://a/live/b']],
    ['a file that is not there', ['rtsp://a/live/b', '--ticket', '/nowhere/at/all']],
    ['another transport', ['rtsp://a/live/b', '--ticket', 'x', '--transport', 'sctp']],
    ['two outputs', ['rtsp://a/live/b', '--ticket', 'x', '--output', '-', '--player', 'p']],
    ['no time', ['rtsp://a/live/b', '--ticket', 'x', '--seconds', '']],
    ['what it does not know', ['rtsp://a/live/b', '--tickets', 'x']],
  ])('%s is wrong use', async (_what, args) => {
    await expect(run(...args).code).rejects.toThrow(UsageError);
  });

  it('a file without tickets is, and nothing of it is repeated', async () => {
    for (const content of ['secret', '{"tickets":[]}', { ...(await entry()), proofKey: { kty: 'secret' } }])
      await expect(readTickets(write(content))).rejects.toThrow(/^(?!.*secret).*client part/);
  });
});

describe('renewal', () => {
  it('puts a later ticket of the same key in the place of one that ends', async () => {
    const [first, later] = [await held({ exp: nowSeconds() + 20 }), await held()];
    const link = await openLink({
      url: new URL(url),
      ca: undefined,
      timeoutMs: 5000,
    });
    const dialogue = createDialogue(link, url, first);
    const [line] = await dialogue.describe();
    if (line === undefined) throw new Error('no line');
    await dialogue.setUp(line, 'RTP/SAVP/TCP;unicast;interleaved=0-1');
    await dialogue.play();
    const stop = new AbortController();
    const said = new Promise<string>((say) =>
      keepRenewed({
        held: first,
        dialogue,
        read: () => Promise.resolve([first, later]),
        say,
        signal: stop.signal,
      }),
    );
    expect(await said).toContain('renewed until');
    stop.abort();
    expect(house.gate.sessions()[0]?.grant.expiresAtSeconds).toBe(later.expiresAt);
    // Numbers of control proofs went up in the order of the requests.
    expect(JSON.parse(await dialogue.receipts())).toHaveProperty('receipts');
    link.close();
  });

  it('says once that there is none, and takes none of another key', async () => {
    const first = await held({ exp: nowSeconds() + 20 });
    viewer = await world.newViewer();
    const foreign = await held();
    const renew = vi.fn(() => Promise.resolve());
    const stop = new AbortController();
    const said = new Promise<string>((say) =>
      keepRenewed({
        ...{ held: first, dialogue: { renew }, say, signal: stop.signal },
        read: () => Promise.resolve([first, foreign]),
      }),
    );
    expect(await said).toContain('no later one in the file');
    stop.abort();
    expect(renew).not.toHaveBeenCalled();
  });

  it('the longest of a stream’s tickets is the one', async () => {
    const tickets = [await held({ exp: nowSeconds() + 9 }), await held(), await held({ uri: '/live/other' })];
    expect(longest(tickets, PATH)).toBe(tickets[1]);
    expect(longest(tickets, '/live/none')).toBeUndefined();
  });
});

it('who answers without the ticket’s secret is found out', async () => {
  const sdp =
    'v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track=video\r\n';
  const reply = (headers: object, body = '') =>
    ({
      kind: 'reply',
      status: 200,
      cseq: 1,
      headers: new Map(Object.entries(headers)),
      body: Buffer.from(body),
    }) as const;
  const link: Link = {
    ...{
      remoteAddress: '',
      localAddress: '',
      closed: new Promise(() => undefined),
      close: () => undefined,
      onPacket: () => undefined,
    },
    ask: (method, _to, headers) =>
      Promise.resolve(
        method === 'DESCRIBE'
          ? reply({ 'usher-nonce': createKeyNonce() }, sdp)
          : // Its own message comes back.
            reply({ session: 'x', keymgmt: headers?.['KeyMgmt'] ?? '', transport: '' }),
      ),
  };
  const dialogue = createDialogue(link, url, await held());
  const [line] = await dialogue.describe();
  expect(line).toMatchObject({ kind: 'video', codec: 'H264', control: `${url}/track=video` });
  if (line === undefined) return;
  await expect(dialogue.setUp(line, '')).rejects.toThrow('does not share the ticket’s secret');
});
