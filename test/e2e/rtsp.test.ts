/** RTSP with TLS: ffmpeg with the keys of SDES and GStreamer with those of MIKEY, by TCP and UDP; nothing for others. */
import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { promisify } from 'node:util';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DEMO_LOGINS } from '../../admin/seed.ts';
import { selfSignedCertFile } from '../../plugin/tls.ts';
import { httpsAsker, type HttpsAsk } from '../support/https-ask.ts';
import { startDetour } from '../support/rtsp-detour.ts';
import {
  decodeFile,
  playWithFfmpeg,
  playWithGStreamer,
  psnr,
  testCard,
  toneShare,
  type Played,
} from '../support/rtsp-players.ts';
import { connectRtsp, receiversOf } from '../support/rtsp-client.ts';
import {
  buy,
  createOffer,
  createStreamKeyFor,
  createTitleWithOffer,
  graphql,
  proofFor,
  signIn,
  type Purchase,
  type StaffOffer,
} from '../support/shop.ts';
import {
  freePorts,
  publishTestCard,
  stackEnvironment,
  startProcess,
  type Encoder,
  type RunningProcess,
  type StackEnvironment,
} from '../support/stack.ts';
import { runPlay, startTap, type Outcome, type Tap } from '../support/thin-player.ts';
import { startUdpRelay, type UdpRelay } from '../support/udp-relay.ts';

const PATH = '/live/rtsp';

let environment: StackEnvironment;
let order: RunningProcess;
let media: RunningProcess;
let encoder: Encoder;
let ca: string;
let ask: HttpsAsk;
let mediaUrl: string;
let staff: string;
let titleId: string;
let card: Buffer;
/** Before plain RTSP. */
let tap: Tap;
const plainUrl = (): string => `rtsp://127.0.0.1:${String(tap.port)}`;
const opened: { close(): unknown }[] = [];

interface Bought {
  readonly url: string;
  readonly purchase: Purchase;
}

/** Buys a viewing and exchanges its ticket for an address. */
async function buyUrl(offer: StaffOffer = {}): Promise<Bought> {
  const { orderUrl } = environment;
  const purchase = await buy(orderUrl, await createOffer(orderUrl, staff, titleId, offer));
  const url = `${mediaUrl}/pass`;
  const { nonce } = await ask(url, 'OPTIONS');
  const headers = {
    'content-type': 'application/json',
    authorization: `DPoP ${purchase.ticket}`,
    dpop: await proofFor(purchase, { method: 'POST', url, nonce }),
  };
  const { status, body } = await ask(url, 'POST', headers, JSON.stringify({ uri: PATH }));
  expect(status, body).toBe(201);
  return { url: (JSON.parse(body) as { urls: { rtsp: string } }).urls.rtsp, purchase };
}

beforeAll(async () => {
  environment = await stackEnvironment();
  const { env, orderUrl, dataDir, rtmpPort } = environment;
  order = await startProcess('admin/main.ts', env);
  tap = await startTap(environment.rtspPort);
  const settings = { USHER_TLS: 'self-signed', USHER_RTSP_PUBLIC_URL: plainUrl() };
  media = await startProcess('plugin/main.ts', { ...env, ...settings });
  mediaUrl = environment.mediaUrl.replace('http:', 'https:');
  ca = await readFile(selfSignedCertFile(`${dataDir}/media`), 'utf8');
  ask = httpsAsker(ca);
  const login = DEMO_LOGINS.find(({ role }) => role === 'admin');
  if (login === undefined) throw new Error('no staff');
  staff = await signIn(orderUrl, login);
  ({ titleId } = await createTitleWithOffer(orderUrl, staff, PATH));
  const key = await createStreamKeyFor(orderUrl, staff, titleId);
  encoder = publishTestCard(`rtmp://127.0.0.1:${String(rtmpPort)}${PATH}?key=${key}`);
  card = await testCard();
  await vi.waitUntil(
    async () => (await ask(`${mediaUrl}/metrics`, 'GET')).body.includes('usher_live_streams 1'),
    { timeout: 30_000, interval: 200 },
  );
});
afterAll(async () => {
  tap.close();
  for (const each of opened) each.close();
  await encoder.stop();
  await Promise.all([order.stop(), media.stop()]);
  await rm(environment.dataDir, { recursive: true, force: true });
});

function showsTheCard({ pictures, sound, said }: Played): void {
  expect(pictures.length, said).toBeGreaterThan(20);
  // Between flashes; x264 at its fastest.
  expect(Math.max(...pictures.slice(0, 60).map((picture) => psnr(picture, card)))).toBeGreaterThan(30);
  expect(toneShare(sound, 1000)).toBeGreaterThan(0.8);
  expect(toneShare(sound, 1700)).toBeLessThan(0.1);
}

describe.each(['tcp', 'udp'] as const)('by %s', (lower) => {
  it('ffmpeg decodes picture and tone with the key of SDES', async () => {
    const played = await playWithFfmpeg((await buyUrl()).url, lower, 3);
    expect(played.exitCode, played.said).toBe(0);
    showsTheCard(played);
  });

  it('GStreamer decodes picture and tone with the key of MIKEY', async () => {
    showsTheCard(await playWithGStreamer((await buyUrl()).url, lower, 6));
  });
});

/** The URL for a player on this machine whose RTP by UDP takes another way. */
async function detoured(url: string, route: Parameters<typeof startDetour>[1]): Promise<string> {
  const detour = await startDetour(environment.rtspPort, route);
  opened.push(detour);
  return url.replace(/^rtsps:\/\/[^/]+/, `rtsp://127.0.0.1:${String(detour.port)}`);
}

it('ffmpeg, which UDP does not reach, turns to TCP in the same session', async () => {
  const nowhere = async (): Promise<[number, number]> => (await freePorts(2)) as [number, number];
  const played = await playWithFfmpeg(await detoured((await buyUrl()).url, nowhere), undefined, 2);
  expect(played.said).toContain('retrying with TCP');
  showsTheCard(played);
});

it('ffmpeg plays on at 5% loss and a wrong bit in 100,000', async () => {
  const relays: UdpRelay[] = [];
  const badly = async (port: number): Promise<number> => {
    const server = { address: '127.0.0.1', port };
    const relay = await startUdpRelay({ server, seed: 8, towardsServer: { loss: 0.05, bitErrors: 1e-5 } });
    opened.push(relay);
    relays.push(relay);
    return relay.port;
  };
  const url = await detoured((await buyUrl()).url, async ([rtp, rtcp]) => [
    await badly(rtp),
    await badly(rtcp),
  ]);
  const { pictures: seen, sound, said } = await playWithFfmpeg(url, 'udp', 5);
  expect(seen.length, said).toBeGreaterThan(20);
  expect(Math.max(...seen.map((picture) => psnr(picture, card)))).toBeGreaterThan(30);
  // With holes in it, of 20 ms each; the loudest part may have one.
  expect(sound.length).toBeGreaterThan(4 * 48_000);
  expect(toneShare(sound, 1000)).toBeGreaterThan(0.3);
  expect(toneShare(sound, 1700)).toBeLessThan(0.1);
  const [{ towardsServer: pictures }] = relays.map((relay) => relay.counts()) as [
    ReturnType<UdpRelay['counts']>,
  ];
  expect(pictures.lost).toBeGreaterThan(5);
  expect(pictures.damaged).toBeGreaterThan(0);
});

it('ffmpeg gets nothing without a pass, and nothing with one that was used', async () => {
  const { url } = await buyUrl();
  const bare = await playWithFfmpeg(url.replace(/[?].*$/, ''), 'tcp', 1);
  expect([bare.exitCode === 0, bare.pictures.length]).toEqual([false, 0]);
  expect(bare.said).toContain('401');
  showsTheCard(await playWithFfmpeg(url, 'tcp', 2));
  const again = await playWithFfmpeg(url, 'tcp', 1);
  expect([again.exitCode === 0, again.pictures.length]).toEqual([false, 0]);
});

it('ffprobe, which takes the pass as a password, sees what there is', async () => {
  const { url } = await buyUrl();
  const [, host = '', path = '', pass = ''] = /^rtsps:\/\/([^/]+)(\/[^?]+)\?pass=(.+)$/.exec(url) ?? [];
  const args = [
    '-loglevel',
    'error',
    '-rtsp_transport',
    'tcp',
    '-show_entries',
    'stream=codec_name,width,height',
  ];
  const withPassword = `rtsps://viewer:${pass}@${host}${path}`;
  const { stdout } = await promisify(execFile)('ffprobe', [...args, '-of', 'csv=p=0', withPassword]);
  expect(stdout.trim().split('\n')).toEqual(['h264,640,360', 'aac']);
});

interface Watching {
  readonly packets: readonly Buffer[];
  readonly sdp: string;
  /** Of the first and the last packet of media, by the wall clock. */
  firstMs(): number;
  lastMs(): number;
  readonly closed: Promise<unknown>;
}

/** Plays as a client of our own that keeps what it is sent, still protected. */
async function watch(url: string, lower: 'tcp' | 'udp'): Promise<Watching> {
  const over = connectTls({ port: environment.rtspsPort, host: '127.0.0.1', ca, servername: 'localhost' });
  await once(over, 'secureConnect');
  const client = await connectRtsp(environment.rtspsPort, over);
  const { status, body: sdp } = await client.ask('DESCRIBE', url);
  expect(status, sdp).toBe(200);
  const base = url.replace(/[?].*$/, '');
  const packets: Buffer[] = [];
  let [firstMs, lastMs] = [0, 0];
  const keep = (packet: Buffer): void => {
    packets.push(packet);
    lastMs = Date.now();
    firstMs ||= lastMs;
  };
  let session = '';
  for (const [index, line] of ['video', 'audio'].entries()) {
    const transport = async (): Promise<string> => {
      if (lower === 'tcp')
        return `RTP/SAVP/TCP;unicast;interleaved=${String(2 * index)}-${String(2 * index + 1)}`;
      const socket = createSocket('udp4').bind(0, '127.0.0.1');
      await once(socket, 'listening');
      opened.push(socket);
      socket.on('message', keep);
      const { port } = socket.address();
      // Its RTCP is of no interest here.
      return `RTP/SAVP;unicast;client_port=${String(port)}-${String(port === 65_535 ? port - 1 : port + 1)}`;
    };
    const headers = { Transport: await transport(), ...(session === '' ? {} : { Session: session }) };
    const answer = await client.ask('SETUP', `${base}/track=${line}`, headers);
    expect(answer.status).toBe(200);
    session = answer.headers.get('session')?.split(';')[0] ?? '';
  }
  expect((await client.ask('PLAY', base, { Session: session })).status).toBe(200);
  const reader = setInterval(() => {
    for (const { channel, data } of client.frames.splice(0)) if (channel % 2 === 0) keep(data);
  }, 20);
  void client.closed.then(() => clearInterval(reader));
  return { packets, sdp, firstMs: () => firstMs, lastMs: () => lastMs, closed: client.closed };
}

/** Packets by SSRC, opened with the keys of the description. */
function openAll({ packets, sdp }: Watching): Buffer[] {
  const receivers = receiversOf(sdp);
  const types = [96, 97];
  return packets.map((packet) => {
    const receiver = receivers[types.indexOf((packet[1] ?? 0) & 0x7f)];
    const opened = receiver?.unprotectRtp(Buffer.from(packet));
    expect(typeof opened).toBe('object');
    return opened as Buffer;
  });
}

it('a capture holds no clear media, and two viewers share no ciphertext', async () => {
  const viewers = await Promise.all([watch((await buyUrl()).url, 'udp'), watch((await buyUrl()).url, 'udp')]);
  await vi.waitUntil(() => viewers.every(({ packets }) => packets.length > 200), { timeout: 20_000 });
  const blocks = (packet: Buffer): string[] =>
    Array.from({ length: Math.floor((packet.length - 12) / 16) }, (_, at) =>
      packet.toString('latin1', 12 + at * 16, 28 + at * 16),
    );
  const [first, second] = viewers.map((viewer) => new Set([...viewer.packets].flatMap(blocks)));
  const clear = viewers.map((viewer) => openAll({ ...viewer, packets: [...viewer.packets] }));
  const [clearFirst, clearSecond] = clear.map((packets) => new Set(packets.flatMap(blocks)));
  // They have seen the same, under other keys.
  const shared = (a: Set<string> | undefined, b: Set<string> | undefined): number =>
    [...(a ?? [])].filter((block) => b?.has(block)).length;
  expect(shared(clearFirst, clearSecond)).toBeGreaterThan(100);
  expect([shared(first, second), shared(first, clearFirst), shared(second, clearFirst)]).toEqual([0, 0, 0]);
  // What an eavesdropper's header compressor needs lies open (RFC 3095): version, type, numbers in sequence.
  const numbers = viewers[0].packets.filter((packet) => ((packet[1] ?? 0) & 0x7f) === 96);
  expect(numbers.every((packet) => packet.readUInt8(0) === 0x80)).toBe(true);
});

describe('media ends', () => {
  it('within a second of the ticket’s expiry, on both ways', async () => {
    const ends = await Promise.all(
      (['tcp', 'udp'] as const).map(async (lower) => {
        const { url, purchase } = await buyUrl({ validSeconds: 10 });
        const viewer = await watch(url, lower);
        await viewer.closed;
        return viewer.lastMs() - (decodeJwt(purchase.ticket).exp ?? 0) * 1000;
      }),
    );
    for (const afterMs of ends) {
      expect(afterMs).toBeGreaterThan(-1000);
      expect(afterMs).toBeLessThan(1000);
    }
  });

  it('within a second of used-up seconds', async () => {
    const viewer = await watch((await buyUrl({ rights: { seconds: 4 } })).url, 'udp');
    await viewer.closed;
    expect(viewer.lastMs() - viewer.firstMs()).toBeGreaterThan(3000);
    expect(viewer.lastMs() - viewer.firstMs()).toBeLessThan(5000);
  });

  it('within a second of the revocation of its ticket', async () => {
    const { url, purchase } = await buyUrl();
    const viewer = await watch(url, 'udp');
    await vi.waitUntil(() => viewer.packets.length > 50, { timeout: 10_000 });
    const revokedMs = Date.now();
    await graphql(
      environment.orderUrl,
      'mutation ($id: ID!) { revokeTicket(id: $id, reason: "test") { __typename } }',
      { id: decodeJwt(purchase.ticket).jti },
      staff,
    );
    await viewer.closed;
    expect(viewer.lastMs() - revokedMs).toBeLessThan(1000);
  });
});

describe('media-usher play', () => {
  let dir: string;
  /** Is over when the others have played. */
  let short: Purchase;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'usher-play-'));
    short = await sell({ validSeconds: 10 });
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const sell = async (offer: StaffOffer = {}): Promise<Purchase> =>
    buy(environment.orderUrl, await createOffer(environment.orderUrl, staff, titleId, offer));

  const secure = (): string =>
    `rtsps://${new URL(mediaUrl).hostname}:${String(environment.rtspsPort)}${PATH}`;

  const playIt = (purchase: Purchase, url: string, ...args: string[]): Promise<Outcome> =>
    runPlay(purchase, url, selfSignedCertFile(`${environment.dataDir}/media`), ...args);

  it.each(['tcp', 'udp'] as const)(
    'by %s it decodes picture and tone, with the receipts of what it was sent',
    async (lower) => {
      const file = join(dir, `${lower}.mkv`);
      const url = lower === 'tcp' ? plainUrl() + PATH : secure();
      const { code, said, told } = await playIt(
        ...([await sell({ rights: { accesses: 1 } }), url, '--transport', lower] as const),
        ...['--output', file, '--seconds', '4'],
      );
      expect(code, said).toBe(0);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      showsTheCard(await decodeFile(file, 3));
      const { lines, receipts } = JSON.parse(told) as {
        lines: { bytes: number; lost: number; refused: object }[];
        receipts: { valid: boolean; signatures: string; chains: { bytes: number; endReason: string }[] };
      };
      expect(lines).toMatchObject([
        { lost: 0, refused: {} },
        { lost: 0, refused: {} },
      ]);
      expect(receipts).toMatchObject({ valid: true, signatures: 'checked', problems: [] });
      const [chain] = receipts.chains;
      expect(chain?.endReason).toBe('viewer_left');
      const received = lines.reduce((sum, { bytes }) => sum + bytes, 0);
      expect(Math.abs((chain?.bytes ?? 0) - received) / received).toBeLessThan(0.05);
    },
  );

  it('what passed over plain RTSP holds no key, and nothing of pictures and sound', async () => {
    const media = await readFile(join(dir, 'tcp.mkv'));
    const passed = Buffer.concat(tap.captured);
    // Nearly all of the file are NAL units and Opus frames, in packets of 1,200 bytes at most.
    expect(passed.length).toBeGreaterThan(media.length * 0.9);
    expect(passed.includes('a=control:track=video')).toBe(true);
    expect(passed.toString('latin1')).not.toMatch(/inline:|a=key-mgmt/);
    const pieces = Array.from({ length: 300 }, (_, at) => Math.floor(((at + 1) * media.length) / 302));
    expect(pieces.filter((at) => passed.includes(media.subarray(at, at + 12)))).toEqual([]);
  });

  it.each<[string, () => Promise<Purchase>, RegExp]>([
    [
      'with the secret of another',
      async () => ({ ...(await sell()), clientPart: (await sell()).clientPart }),
      /client part/,
    ],
    [
      'that has expired',
      async () => {
        const over = (): boolean => Date.now() > (decodeJwt(short.ticket).exp ?? 0) * 1000;
        await vi.waitUntil(over, { timeout: 15_000 });
        return short;
      },
      /ticket_expired/,
    ],
    [
      'that was revoked',
      async () => {
        const purchase = await sell();
        await graphql(
          environment.orderUrl,
          'mutation ($id: ID!) { revokeTicket(id: $id, reason: "test") { __typename } }',
          { id: decodeJwt(purchase.ticket).jti },
          staff,
        );
        return purchase;
      },
      /ticket_revoked/,
    ],
  ])('a ticket %s gets nothing, and is told why', async (_what, make, why) => {
    const file = join(dir, 'nothing.mkv');
    const { code, said } = await playIt(await make(), secure(), '--output', file, '--seconds', '1');
    expect([code, said]).toEqual([expect.any(Number), expect.stringMatching(why)]);
    expect(code).not.toBe(0);
    await expect(stat(file)).rejects.toThrow('ENOENT');
  });
});
