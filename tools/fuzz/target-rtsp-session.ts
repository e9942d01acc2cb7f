/**
 * What an RTSP client asks for one after the other, on a connection that is served as a real one is: each octet of an
 * input is a request of a list, or something that happens to client, stream or house meanwhile.
 */
import { Duplex } from 'node:stream';
import { setImmediate as settled } from 'node:timers/promises';
import { serveConnection, type RtspConnection } from '../../plugin/adapters/rtsp/connection.ts';
import type { RtspGate } from '../../plugin/adapters/rtsp/requests.ts';
import type { UdpDoor } from '../../plugin/adapters/rtsp/udp.ts';
import { Denial } from '../../plugin/errors.ts';
import { startSession, type Session } from '../../plugin/session.ts';
import { createFakeStream, type FakeStream } from '../../test/plugin/adapters/rtsp/fake-stream.ts';
import { makeGrant, recordedRedemptions, recordedSink, silentLog } from '../../test/support/doubles.ts';
import { must, type FuzzTarget } from './target.ts';

const URL = 'rtsps://media.example/live/demo';
const PASS = 'ps_good';
const ADDRESS = '192.0.2.7';
const MAX_STEPS = 100;
/** Stands for the id of the session, which nobody knows before. */
const OWN = '<own>';
const SAYS_OWN = `Session: ${OWN}`;

interface RequestStep {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly body?: string;
}

const SESSIONS: readonly (readonly string[])[] = [
  [`Session: ${OWN}`],
  [],
  ['Session: AAAAAAAAAAAAAAAAAAAAAA'],
];

const TRANSPORTS = [
  'RTP/AVP/TCP;unicast;interleaved=0-1',
  'RTP/AVP/TCP;unicast;interleaved=2-3',
  'RTP/SAVP/TCP;unicast',
  'RTP/SAVP;unicast;client_port=5000-5001',
  'RTP/SAVP;unicast;client_port=5002-5003',
  'RTP/AVP;unicast;client_port=5000-5001, RTP/AVP/TCP;unicast;interleaved=4-5',
  'RTP/AVP;multicast',
  'RTP/AVP;a b',
];

const REQUESTS: readonly RequestStep[] = [
  ...[`${URL}?pass=${PASS}`, URL, `${URL}?pass=ps_bad`, 'rtsps://media.example/live/other?pass=ps_good'].map(
    (url) => ({ method: 'DESCRIBE', url, headers: [] }),
  ),
  ...['/track=video', '/track=audio', ''].flatMap((track) =>
    TRANSPORTS.flatMap((transport) =>
      SESSIONS.map((session) => ({
        method: 'SETUP',
        url: URL + track,
        headers: [`Transport: ${transport}`, ...session],
      })),
    ),
  ),
  ...['PLAY', 'PAUSE', 'TEARDOWN', 'GET_PARAMETER', 'SET_PARAMETER', 'OPTIONS', 'RECORD'].flatMap((method) =>
    SESSIONS.flatMap((headers) =>
      [URL, `${URL}/track=audio`].map((url) => ({ method, url, headers: [...headers] })),
    ),
  ),
  ...['good.good.good', 'bad.bad.bad', ''].map((ticket) => ({
    method: 'SET_PARAMETER',
    url: URL,
    headers: [`Session: ${OWN}`, 'Content-Type: text/parameters'],
    body: `ticket: ${ticket}`,
  })),
];

/** What a request is answered with, and what is sent between the answers. */
type Sent =
  { readonly status: number; readonly cseq: number; readonly session: string | undefined } | 'packet';

function readSent(data: Buffer): Sent {
  if (data[0] === 0x24) return 'packet';
  const text = data.toString('latin1');
  const [, status] = /^RTSP\/1\.0 ([0-9]{3}) /.exec(text) ?? [];
  const [, cseq] = /\r\nCSeq: ([0-9]+)\r\n/.exec(text) ?? [];
  must(status !== undefined && cseq !== undefined, 'what is sent is an answer or a packet');
  must(status !== '500', 'nothing fails');
  return { status: Number(status), cseq: Number(cseq), session: /\r\nSession: ([^;\r]+)/.exec(text)?.[1] };
}

/** A gate that knows one pass, which it gives back as another each time, and one ticket for renewals. */
function createFuzzGate(): { gate: RtspGate; sessions: Session[] } {
  const sessions: Session[] = [];
  const minted = new Set<string>();
  const gate: RtspGate = {
    nonce: () => 'nonce',
    async mintPass({ pass }, prepare) {
      if (pass !== PASS) throw new Denial('pass_invalid');
      await prepare?.();
      const fresh = `ps_${String(minted.size)}`;
      minted.add(fresh);
      return { pass: fresh, expiresInSeconds: 60, key: null };
    },
    async admit({ pass = '' }, media) {
      must(minted.delete(pass), 'a pass is used once');
      if (!media.isLive()) throw new Denial('stream_offline');
      const grant = makeGrant();
      const session = startSession({
        ...{ grant, viewing: await media.open(grant), redeemed: null, redemptions: recordedRedemptions() },
        ...{ sink: recordedSink(), clock, log: silentLog, receiptIntervalMs: 60_000 },
      });
      sessions.push(session);
      return session;
    },
    async renew(session, { authorization }) {
      await Promise.resolve();
      if (authorization !== 'Bearer good.good.good') throw new Denial('ticket_untrusted');
      must(!session.isEnded(), 'only a session that runs is renewed');
    },
  };
  return { gate, sessions };
}

/** Each look is a second later: there is never a flood. */
let elapsedMs = 0;
const clock = { nowMs: () => Date.now(), monotonicMs: () => (elapsedMs += 1000) };

class Client {
  readonly stream: FakeStream = createFakeStream();
  readonly sessions: Session[];
  readonly #sent: Sent[] = [];
  readonly #socket: Duplex;
  readonly #connection: RtspConnection;
  readonly #ports = new Set<number>();
  #rtcp: ((packet: Buffer) => void) | undefined;
  #datagrams = 0;
  #cseq = 0;
  #own = 'none';
  #isPlaying = false;
  #isEnded = false;

  constructor() {
    const { gate, sessions } = createFuzzGate();
    this.sessions = sessions;
    this.#socket = new Duplex({
      read: () => undefined,
      write: (data: Buffer, _encoding, done) => {
        this.#sent.push(readSent(data));
        done();
      },
      final: (done) => {
        this.#isEnded = true;
        done();
      },
    });
    this.#connection = serveConnection({
      ...{ socket: this.#socket, reset: () => this.#socket.destroy(), gate, stage: this.stream, clock },
      ...{ udp: this.#door(), publicUrl: 'rtsps://media.example', peer: ADDRESS, address: ADDRESS },
      ...{ confidential: true, log: silentLog, stalledAfterMs: undefined, onWaiting: () => undefined },
      elsewhere: new Map(),
    });
  }

  #door(): UdpDoor {
    return {
      ports: [7000, 7001],
      open: ({ address, ports }, onRtcp) => {
        must(address === ADDRESS, 'RTP goes to the client only');
        if (ports.some((port) => this.#ports.has(port))) return undefined;
        for (const port of ports) this.#ports.add(port);
        this.#rtcp = onRtcp;
        return {
          headroomBytes: 0,
          rtp: () => (this.#datagrams += 1) > 0,
          rtcp: () => undefined,
          close: () => ports.forEach((port) => this.#ports.delete(port)),
        };
      },
      close: () => undefined,
    };
  }

  async ask(steps: readonly RequestStep[]): Promise<void> {
    const first = this.#cseq;
    const bytes = steps.map(({ method, url, headers, body = '' }) => {
      const fields = headers.map((header) => header.replace(OWN, this.#own));
      const length = body === '' ? [] : [`Content-Length: ${String(body.length)}`];
      const head = [`${method} ${url} RTSP/1.0`, `CSeq: ${String((this.#cseq += 1))}`, ...fields, ...length];
      return `${head.join('\r\n')}\r\n\r\n${body}`;
    });
    this.#socket.push(bytes.join(''));
    await settled();
    await settled();
    this.#check(steps, first);
  }

  #check(steps: readonly RequestStep[], first: number): void {
    const answers = this.#sent.splice(0).filter((sent) => sent !== 'packet');
    must(this.#isEnded || answers.length === steps.length, 'every request is answered');
    for (const [index, { cseq, status, session }] of answers.entries()) {
      must(cseq === first + index + 1, 'answers have the order of the requests');
      const { method = '', headers = [] } = steps[index] ?? {};
      if (session !== undefined) this.#own = session;
      if (status !== 200) continue;
      const isControl = ['PLAY', 'PAUSE', 'TEARDOWN'].includes(method);
      must(!isControl || headers.includes(SAYS_OWN), 'only who knows the session controls it');
      must(method !== 'SETUP' || !this.#isPlaying, 'nothing is set up while it plays');
      if (method === 'PLAY') this.#isPlaying = true;
      if (method === 'PAUSE' || method === 'TEARDOWN') this.#isPlaying = false;
    }
    const running = this.sessions.filter((session) => !session.isEnded());
    must(running.length <= 1, 'a connection has one session');
    must(!this.#isPlaying || this.#isEnded || running.length === 1, 'only a session plays');
  }

  /** The stream goes on: it is seen by who plays, and by nobody else. */
  flow(): void {
    this.#sent.length = this.#datagrams = 0;
    this.stream.mediaMs += 40;
    this.stream.picture(true);
    this.stream.sound();
    this.stream.reports();
    const got = this.#sent.length + this.#datagrams;
    this.#sent.length = 0;
    const plays = this.#isPlaying && !this.#isEnded;
    must(plays || got === 0, 'only who plays is sent media');
    must(!plays || got > 0, 'who plays is sent media');
  }

  report(packet: Buffer): void {
    this.#rtcp?.(packet);
    this.#socket.push(Buffer.from([0x24, 1, 0, 1, 0x80]));
  }

  async kick(): Promise<void> {
    await this.sessions.at(-1)?.end('kicked');
  }

  async leave(): Promise<void> {
    this.#connection.close();
    await settled();
    await settled();
    must(this.#isEnded, 'the connection ends');
    // Or the connection waits for that, for half a second: too many at once are memory that grows.
    this.#socket.destroy();
    must(
      this.sessions.every((session) => session.isEnded()),
      'no session is left',
    );
    must(this.stream.listeners() === 0, 'nobody listens to the stream any more');
    must(this.#ports.size === 0, 'no port is left');
  }
}

/** What happens beside requests. */
const EVENTS: readonly ((client: Client, input: Buffer) => Promise<void> | void)[] = [
  (client) => client.flow(),
  (client) => client.flow(),
  (client, input) => client.report(input),
  (client) => void (client.stream.live = !client.stream.live),
  (client) => client.stream.end(),
  (client) => client.kick(),
  // Two at once.
  (client, input) => client.ask([...input.subarray(0, 2)].map((octet) => requestOf(octet))),
];

function requestOf(octet: number): RequestStep {
  const step = REQUESTS[octet % REQUESTS.length];
  if (step === undefined) throw new Error('there are no requests');
  return step;
}

const octetOf = (method: string, ...has: string[]): number =>
  REQUESTS.findIndex(
    (step) =>
      step.method === method &&
      has.every((text) => [step.url, step.body, ...step.headers].join(' ').includes(text)),
  );
const FLOW = REQUESTS.length;

export function createTarget(): FuzzTarget {
  must(REQUESTS.length + EVENTS.length <= 256, 'each step has an octet');
  const [tcp, second, udp, third] = [
    'interleaved=0-1',
    'interleaved=2-3',
    'client_port=5000',
    'client_port=5002',
  ];
  const describe = octetOf('DESCRIBE', PASS);
  const byTcp = [octetOf('SETUP', 'video', tcp), octetOf('SETUP', 'audio', second, OWN)];
  const byUdp = [octetOf('SETUP', 'video', udp), octetOf('SETUP', 'audio', third, OWN)];
  const [play, pause, down] = ['PLAY', 'PAUSE', 'TEARDOWN'].map((method) => octetOf(method, OWN)) as [
    number,
    number,
    number,
  ];
  const renew = octetOf('SET_PARAMETER', 'good');
  return {
    async take(input) {
      const client = new Client();
      for (const [at, octet] of input.subarray(0, MAX_STEPS).entries()) {
        const event = EVENTS[octet - REQUESTS.length];
        if (event === undefined) await client.ask([requestOf(octet)]);
        else await event(client, input.subarray(at + 1));
        await settled();
      }
      await client.leave();
    },
    refusals: [],
    seeds: [
      [
        describe,
        ...byTcp,
        play,
        FLOW,
        pause,
        FLOW,
        play,
        FLOW,
        renew,
        FLOW,
        down,
        describe,
        ...byUdp,
        play,
        FLOW,
      ],
      // UDP does not reach the client, which goes on by TCP.
      [describe, ...byUdp, play, FLOW, pause, ...byTcp, play, FLOW, down],
      [describe, describe, ...byTcp, play, FLOW + 2, FLOW + 4, FLOW, play],
      [describe, ...byUdp, play, FLOW, FLOW + 5, play, FLOW, FLOW + 6, pause, play],
    ].map((octets) => Buffer.from(octets)),
    folders: [],
    words: [
      [FLOW],
      [play, FLOW],
      [pause, FLOW],
      [pause, ...byTcp, play, FLOW],
      [describe, ...byTcp],
      [describe, ...byUdp],
      [down],
      [renew],
    ].map((octets) => Buffer.from(octets).toString('latin1')),
  };
}
