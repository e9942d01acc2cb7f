/**
 * What one connection asks for: DESCRIBE verifies, the first SETUP reserves, PLAY lets media out. A session belongs to the
 * connection that set it up; who knows its id from elsewhere can do nothing with it.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { Denial } from '../../errors.ts';
import type { Gate } from '../../gate.ts';
import type { Clock, Log, StreamTap, VideoCodec } from '../../ports.ts';
import { tierOf } from '../../rights/index.ts';
import { readRtspCredentials } from '../../rtsp/credentials.ts';
import { formatDescription, type DescribedLine } from '../../rtsp/description.ts';
import type { RtspRequest } from '../../rtsp/reader.ts';
import { isFieldValue, type RtspResponse } from '../../rtsp/response.ts';
import {
  formatTransport,
  parseTransport,
  type ChosenTransport,
  type RtspTransport,
} from '../../rtsp/transport.ts';
import { controlOf, parseRtspUrl, type LineKind, type RtspTarget } from '../../rtsp/url.ts';
import type { Session } from '../../session.ts';
import { createSrtpReceiver, parseKeyMgmtHeader, SRTP_SUITES, type SrtpReceiver } from '../../srtp/index.ts';
import { readNullMessage } from '../../srtp/mikey/index.ts';
import { DATAGRAMS, interleavedOutlet, type LineOutlet, type SocketLink } from './outlets.ts';
import type { UdpDoor } from './udp.ts';
import { createRtspViewing, type RtspViewing } from './viewing.ts';

/** What RTSP asks of the stage. */
export interface RtspStage {
  isLive(path: string): boolean;
  /** @throws Denial (rejects with it) */
  tap(path: string, isWanted: (codec: VideoCodec) => boolean): Promise<StreamTap>;
}

/** What RTSP asks of the gate. */
export type RtspGate = Pick<Gate, 'admit' | 'mintPass' | 'nonce'>;

export interface RequestsOptions {
  readonly gate: RtspGate;
  readonly stage: RtspStage;
  readonly udp: UdpDoor;
  /** Base of the listener as viewers see it, for the proof. */
  readonly publicUrl: string;
  /** Address of the client, for logs and tickets that name one. */
  readonly peer: string;
  /** The same as its socket has it: where RTP by UDP goes to. */
  readonly address: string;
  readonly confidential: boolean;
  /** The way back over the connection. */
  readonly link: SocketLink;
  readonly clock: Clock;
  readonly log: Log;
  readonly stalledAfterMs: number | undefined;
  /** The session has ended, by whomever. */
  readonly onEnded: () => void;
  /** The viewer is there: something authentic has come from him. */
  readonly onSign: () => void;
}

export interface Requests {
  /** @throws Denial, RtspSyntaxError, KeySyntaxError, MikeyError */
  answer(request: RtspRequest): Promise<Answer>;
  /** A packet on a channel of the connection. */
  frame(channel: number, data: Buffer): void;
  /** True while media is, or may be, sent. */
  hasSession(): boolean;
  /** The connection is over, or silent for too long. */
  leave(): void;
}

export interface Answer extends RtspResponse {
  /** To be called when the answer has been written. */
  readonly afterwards?: () => void;
}

/** Silence after which a viewer has gone, as clients are told. */
export const SESSION_TIMEOUT_SECONDS = 30;
export const METHODS = 'OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER';

const SUITE = 'AES_CM_128_HMAC_SHA1_80';
const PAYLOAD_TYPES: Readonly<Record<LineKind, number>> = { video: 96, audio: 97 };
const MAX_RTCP_BYTES = 1500;

/** What the descriptions can say, and thin clients can show. */
const isCarried = ({ name }: VideoCodec): boolean => name === 'H264' || name === 'VP8' || name === 'VP9';

interface Described {
  readonly target: RtspTarget;
  readonly tap: StreamTap;
  readonly lines: readonly DescribedLine[];
  /** What ticket and proof, or another pass, were exchanged for at DESCRIBE. */
  readonly pass: string;
}

const inState = (status: 455 | 454 | 460 | 461 | 551, headers = {}): Answer => ({ status, headers });

function describeLines({ video, audio }: StreamTap): DescribedLine[] {
  const line = (kind: LineKind, codec: VideoCodec | undefined): DescribedLine => {
    const { keyBytes, saltBytes } = SRTP_SUITES[SUITE];
    const master = { key: randomBytes(keyBytes), salt: randomBytes(saltBytes) };
    const key = { suite: SUITE, master, ssrc: randomInt(1, 0x1_0000_0000) } as const;
    return { kind, codec, payloadType: PAYLOAD_TYPES[kind], key };
  };
  return [
    ...(video === undefined ? [] : [line('video', video.codec)]),
    ...(audio === undefined ? [] : [line('audio', undefined)]),
  ];
}

/** GStreamer's own key for its RTCP (RFC 4567 section 4.1), from a link that nobody reads along on. */
function rtcpReceiverOf(header: string | undefined): SrtpReceiver | undefined {
  const [spec] = header === undefined ? [] : parseKeyMgmtHeader(header);
  const [session] = spec === undefined ? [] : readNullMessage(spec.data);
  return session && createSrtpReceiver(session);
}

export function createRequests(options: RequestsOptions): Requests {
  const { gate, stage, udp, publicUrl, peer, address, confidential, link, clock, log } = options;
  let described: Described | undefined;
  let session: Session<RtspViewing> | undefined;
  let tearingDown = false;
  const kinds = new Set<LineKind>();
  let lower: ChosenTransport['lower'] | undefined;
  const receivers = new Map<number, SrtpReceiver | undefined>();
  const doors: { close(): void }[] = [];
  let left = false;

  function noteRtcp(receiver: SrtpReceiver | undefined, packet: Buffer): void {
    if (receiver === undefined || packet.length > MAX_RTCP_BYTES) return;
    if (typeof receiver.unprotectRtcp(packet) !== 'string') options.onSign();
  }

  function forget(): void {
    for (const door of doors.splice(0)) door.close();
    receivers.clear();
    kinds.clear();
    lower = undefined;
    described = undefined;
    session = undefined;
  }

  function requireSession({ headers }: RtspRequest): Session<RtspViewing> | undefined {
    const [id] = (headers.get('session') ?? '').split(';');
    return session !== undefined && !session.isEnded() && id?.trim() === session.token ? session : undefined;
  }

  const sessionHeader = (of: Session): string => `${of.token};timeout=${String(SESSION_TIMEOUT_SECONDS)}`;

  async function describe({ url, headers, method }: RtspRequest): Promise<Answer> {
    if (session !== undefined) return inState(455);
    // The description has keys in it, whatever the ticket says of media in the clear.
    if (!confidential) throw new Denial('transport_insecure');
    const target = parseRtspUrl(url);
    const { uri } = target;
    const { authorization, proof, pass } = readRtspCredentials(headers, target.pass);
    const access = {
      protocol: 'rtsp',
      uri,
      method,
      url: publicUrl + uri,
      bodyHash: '',
      peer,
      confidential,
    } as const;
    // Off air must not cost the viewer his pass, which is taken once.
    if (pass !== undefined && !stage.isLive(uri)) throw new Denial('stream_offline');
    const minted = await gate.mintPass({
      ...access,
      authorization,
      proof,
      ...(pass === undefined ? {} : { pass }),
    });
    const tap = await stage.tap(uri, isCarried);
    const lines = describeLines(tap);
    described = { target, tap, lines, pass: minted.pass };
    const body = formatDescription({ id: randomInt(1, 2 ** 47), lines, nowMs: clock.nowMs() });
    return {
      status: 200,
      headers: {
        'Content-Base': `${target.base}/`,
        'Content-Type': 'application/sdp',
        'Cache-Control': 'no-store',
      },
      body,
    };
  }

  /** The first way that is there. */
  function choose(
    offered: readonly RtspTransport[],
    receiver: SrtpReceiver | undefined,
  ): { chosen: ChosenTransport; outlet: LineOutlet } | undefined {
    for (const transport of offered) {
      // One way for all lines: what waits is measured for all of them.
      if (lower !== undefined && transport.lower !== lower) continue;
      if (transport.lower === 'tcp') {
        const channels = transport.channels ?? ([kinds.size * 2, kinds.size * 2 + 1] as const);
        if (channels.some((channel) => receivers.has(channel))) continue;
        for (const channel of channels) receivers.set(channel, receiver);
        return { chosen: { ...transport, channels }, outlet: interleavedOutlet(link.write, channels) };
      }
      const door = udp.open({ address, ports: transport.clientPorts }, (packet) =>
        noteRtcp(receiver, packet),
      );
      if (door === undefined) continue;
      doors.push(door);
      return { chosen: { ...transport, serverPorts: udp.ports }, outlet: door };
    }
    return undefined;
  }

  async function open({ target, tap, pass }: Described): Promise<Session<RtspViewing>> {
    const { uri } = target;
    return gate.admit(
      {
        ...{ protocol: 'rtsp', uri, pass, authorization: undefined, proof: undefined, method: 'SETUP' },
        ...{ url: publicUrl + uri, bodyHash: '', peer, confidential },
      },
      {
        isLive: () => stage.isLive(uri),
        async open(grant) {
          const { maxHeight, maxBitrate } = tierOf(grant);
          if ((tap.video?.layers ?? 1) > 1 && (maxHeight ?? maxBitrate) !== undefined)
            throw new Denial('rights_insufficient', { detail: 'tier: RTSP sends the best layer only' });
          return createRtspViewing({
            tap,
            clock,
            log,
            ...(options.stalledAfterMs === undefined ? {} : { stalledAfterMs: options.stalledAfterMs }),
            onClosed() {
              for (const door of doors.splice(0)) door.close();
              // Before there is a session the gate refuses, which is to be answered.
              if (session !== undefined && !tearingDown) options.onEnded();
            },
          });
        },
      },
    );
  }

  async function setUp(request: RtspRequest): Promise<Answer> {
    const { url, headers } = request;
    const target = parseRtspUrl(url);
    if (described === undefined || described.target.uri !== target.uri) return inState(455);
    if (session !== undefined && requireSession(request) === undefined) return inState(454);
    const { lines } = described;
    const line = target.line === undefined ? lines[0] : lines.find(({ kind }) => kind === target.line);
    if (line === undefined) throw new Denial('not_found');
    // All of the stream at once cannot be set up where it has several lines.
    if (target.line === undefined && lines.length > 1) return inState(460);
    if (kinds.has(line.kind) || session?.viewing.isPlaying() === true) return inState(455);
    const offered = parseTransport(headers.get('transport') ?? '');
    const receiver = rtcpReceiverOf(headers.get('keymgmt'));
    const way = choose(offered, receiver);
    if (way === undefined) return inState(461);
    const { chosen, outlet } = way;
    session ??= await admitted(open(described));
    session.viewing.setUp(line, outlet, chosen.lower === 'tcp' ? link : DATAGRAMS);
    kinds.add(line.kind);
    lower = chosen.lower;
    return {
      status: 200,
      headers: {
        Session: sessionHeader(session),
        Transport: formatTransport(chosen, line.key.ssrc),
        'Cache-Control': 'no-store',
      },
    };
  }

  async function admitted(opening: Promise<Session<RtspViewing>>): Promise<Session<RtspViewing>> {
    try {
      const opened = await opening;
      if (left) opened.viewing.gone('viewer_left');
      // Its media was closed before anybody here knew the session.
      if (opened.isEnded()) options.onEnded();
      return opened;
    } catch (error) {
      forget();
      throw error;
    }
  }

  function play(request: RtspRequest): Answer {
    const own = requireSession(request);
    if (own === undefined) return inState(454);
    const { line, uri } = parseRtspUrl(request.url);
    if (described?.target.uri !== uri) return inState(454);
    if (line !== undefined && kinds.size > 1) return inState(460);
    const { base } = described.target;
    // The numbers are those of what comes next: it is let out behind the answer.
    const info = own.viewing.sequences().map(({ kind, sequence }) => {
      return `url=${base}/${controlOf(kind)};seq=${String(sequence)}`;
    });
    return {
      status: 200,
      headers: { Session: sessionHeader(own), Range: 'npt=now-', 'RTP-Info': info.join(',') },
      afterwards: own.viewing.play,
    };
  }

  async function tearDown(request: RtspRequest): Promise<Answer> {
    const own = requireSession(request);
    if (own === undefined) return inState(454);
    tearingDown = true;
    await own.end('viewer_left');
    forget();
    tearingDown = false;
    return { status: 200 };
  }

  function parameters(request: RtspRequest): Answer {
    if (request.headers.has('session') && requireSession(request) === undefined) return inState(454);
    // There are none: what is asked for without any is whether we are there.
    if (request.body.length > 0) return { status: 451 };
    return {
      status: 200,
      ...(session === undefined ? {} : { headers: { Session: sessionHeader(session) } }),
    };
  }

  function pause(request: RtspRequest): Answer {
    const own = requireSession(request);
    if (own === undefined) return inState(454);
    own.viewing.pause();
    return { status: 200, headers: { Session: sessionHeader(own) } };
  }

  return {
    async answer(request) {
      const unsupported = request.headers.get('require');
      if (unsupported !== undefined) {
        return inState(551, isFieldValue(unsupported) ? { Unsupported: unsupported } : {});
      }
      switch (request.method) {
        case 'OPTIONS':
          return { status: 200, headers: { Public: METHODS } };
        case 'DESCRIBE':
          return describe(request);
        case 'SETUP':
          return setUp(request);
        case 'PLAY':
          return play(request);
        case 'PAUSE':
          return pause(request);
        case 'TEARDOWN':
          return tearDown(request);
        case 'GET_PARAMETER':
          return parameters(request);
        default:
          return { status: 501, headers: { Public: METHODS } };
      }
    },
    frame(channel, data) {
      noteRtcp(receivers.get(channel), data);
    },
    hasSession: () => session !== undefined && !session.isEnded(),
    leave() {
      left = true;
      session?.viewing.gone('viewer_left');
    },
  };
}
