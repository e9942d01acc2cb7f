/**
 * What one connection asks for: DESCRIBE verifies, the first SETUP reserves, PLAY lets media out. A session belongs to the
 * connection that set it up; who knows its id from elsewhere can do nothing with it, unless he proves with each request
 * that he shares the ticket's secret.
 */
import { randomBytes, randomInt } from 'node:crypto';
import { Denial } from '../../errors.ts';
import type { Gate } from '../../gate.ts';
import type { Clock, Log, StreamTap, VideoCodec } from '../../ports.ts';
import { tierOf } from '../../rights/index.ts';
import { CONTROL_FIELD } from '../../rtsp/control.ts';
import { readRenewal, readRtspCredentials } from '../../rtsp/credentials.ts';
import { formatDescription, type DescribedLine } from '../../rtsp/description.ts';
import { NONCE_FIELD, PRE_SHARED_KEY_FEATURE } from '../../rtsp/keys.ts';
import { asksForReceipts, readTicketParameter } from '../../rtsp/parameters.ts';
import type { RtspRequest } from '../../rtsp/reader.ts';
import { isFieldValue, type RtspResponse } from '../../rtsp/response.ts';
import { formatTransport, parseTransport } from '../../rtsp/transport.ts';
import { controlOf, parseRtspUrl, type LineKind, type RtspTarget } from '../../rtsp/url.ts';
import type { Session } from '../../session.ts';
import { createSrtpReceiver, parseKeyMgmtHeader, SRTP_SUITES, type SrtpReceiver } from '../../srtp/index.ts';
import { readNullMessage } from '../../srtp/mikey/index.ts';
import { parseAuthorization } from '../../ticket/index.ts';
import type { SocketLink } from './outlets.ts';
import { createPreShared, type PreShared } from './pre-shared.ts';
import { lastReceiptsOf, receiptsOf, type SignReceipts } from './receipts.ts';
import type { UdpDoor } from './udp.ts';
import { createRtspViewing, type RtspViewing } from './viewing.ts';
import { createWays } from './ways.ts';

/** What RTSP asks of the stage. */
export interface RtspStage {
  isLive(path: string): boolean;
  /** @throws Denial (rejects with it) */
  tap(path: string, isWanted: (codec: VideoCodec) => boolean): Promise<StreamTap>;
}

/** Sessions that can be controlled over any connection, with control proofs, by their ids. */
export type Elsewhere = Map<string, (request: RtspRequest) => Promise<Answer>>;

/** What RTSP asks of the gate. */
export type RtspGate = Pick<Gate, 'admit' | 'mintPass' | 'renew' | 'nonce'>;

export interface RequestsOptions {
  readonly gate: RtspGate;
  readonly stage: RtspStage;
  /** `undefined`: RTP goes over the connection only. */
  readonly udp: UdpDoor | undefined;
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
  /** What goes with receipts, so that a viewer can prove them; default nothing. */
  readonly signReceipts?: SignReceipts | undefined;
  /** What all connections of a server share. */
  readonly elsewhere: Elsewhere;
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
  /** True while only requests with a control proof are the viewer's. */
  areProven(): boolean;
  /** The connection is over, or silent for too long. */
  leave(): void;
}

export interface Answer extends RtspResponse {
  /** To be called when the answer has been written. */
  readonly afterwards?: () => void;
}

/** Silence after which a viewer has gone, as clients are told. */
export const SESSION_TIMEOUT_SECONDS = 30;
/** A session that the server has ended is asked for its last receipts that long, over another connection. */
const LAST_RECEIPTS_WITHIN_MS = 10_000;
export const METHODS = 'OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER';

const SUITE = 'AES_CM_128_HMAC_SHA1_80';
const PAYLOAD_TYPES: Readonly<Record<LineKind, number>> = { video: 96, audio: 97 };

/** What the descriptions can say, and thin clients can show. */
const isCarried = ({ name }: VideoCodec): boolean => name === 'H264' || name === 'VP8' || name === 'VP9';

interface Described {
  readonly target: RtspTarget;
  readonly tap: StreamTap;
  readonly lines: readonly DescribedLine[];
  /** What ticket and proof, or another pass, were exchanged for at DESCRIBE. */
  readonly pass: string;
  /** Where the client brings the keys. */
  readonly preShared: PreShared | undefined;
}

const inState = (status: 454 | 460 | 461 | 551, headers = {}): Answer => ({ status, headers });

function describeLines({ video, audio }: StreamTap): DescribedLine[] {
  const line = (kind: LineKind, codec: DescribedLine['codec']): DescribedLine => {
    const { keyBytes, saltBytes } = SRTP_SUITES[SUITE];
    const master = { key: randomBytes(keyBytes), salt: randomBytes(saltBytes) };
    const key = { suite: SUITE, master, ssrc: randomInt(1, 0x1_0000_0000) } as const;
    return { kind, codec, payloadType: PAYLOAD_TYPES[kind], key };
  };
  return [
    ...(video === undefined ? [] : [line('video', video.codec)]),
    ...(audio === undefined ? [] : [line('audio', audio.codec)]),
  ];
}

/** What comes before the time-out in `Session`. */
const sessionIdOf = ({ headers }: RtspRequest): string =>
  (headers.get('session') ?? '').split(';', 1)[0]?.trim() ?? '';

/** GStreamer's own key for its RTCP (RFC 4567 section 4.1), from a link that nobody reads along on. */
function rtcpReceiverOf(header: string | undefined): SrtpReceiver | undefined {
  const [spec] = header === undefined ? [] : parseKeyMgmtHeader(header);
  const [session] = spec === undefined ? [] : readNullMessage(spec.data);
  return session && createSrtpReceiver(session);
}

export function createRequests(options: RequestsOptions): Requests {
  const { gate, stage, publicUrl, peer, confidential, clock, log } = options;
  const ways = createWays(options);
  const { elsewhere, signReceipts } = options;
  let described: Described | undefined;
  let session: Session<RtspViewing> | undefined;
  let tearingDown = false;
  let left = false;

  function forget(): void {
    ways.close();
    described = undefined;
    session = undefined;
  }

  function requireSession(request: RtspRequest): Session<RtspViewing> | undefined {
    const isOwn = session !== undefined && !session.isEnded() && sessionIdOf(request) === session.token;
    return isOwn ? session : undefined;
  }

  /** Keys that are not said over the connection make its media confidential, whatever the connection is. */
  const isConfidential = (): boolean => confidential || described?.preShared !== undefined;

  const sessionHeader = (of: Session): string => `${of.token};timeout=${String(SESSION_TIMEOUT_SECONDS)}`;

  /** Not in this state; with what is (RFC 2326 section 11.3.6). */
  function notNow(): Answer {
    const allowed =
      session !== undefined
        ? `${session.viewing.isPlaying() ? '' : 'SETUP, '}PLAY, PAUSE, TEARDOWN, GET_PARAMETER, SET_PARAMETER`
        : `DESCRIBE, ${described === undefined ? '' : 'SETUP, '}GET_PARAMETER`;
    return { status: 455, headers: { Allow: `OPTIONS, ${allowed}` } };
  }

  async function describe({ url, headers, method }: RtspRequest): Promise<Answer> {
    if (session !== undefined) return notNow();
    const isPreShared = headers.get('require') === PRE_SHARED_KEY_FEATURE;
    // The description has keys in it, whatever the ticket says of media in the clear.
    if (!confidential && !isPreShared) throw new Denial('transport_insecure');
    const target = parseRtspUrl(url);
    const { uri } = target;
    const { authorization, proof, pass } = readRtspCredentials(headers, target.pass);
    // Where somebody may read along only what is worth nothing to him: a ticket that asks for proofs.
    if (!confidential && (pass !== undefined || parseAuthorization(authorization).scheme !== 'dpop'))
      throw new Denial('transport_insecure');
    const access = {
      protocol: 'rtsp',
      uri,
      method,
      url: publicUrl + uri,
      bodyHash: '',
      peer,
      confidential: confidential || isPreShared,
    } as const;
    const credentials = { authorization, proof, ...(pass === undefined ? {} : { pass }) };
    // Only who may see the stream hears of it; and what is not on air must not cost him his pass, which is taken once.
    const tapped = Promise.withResolvers<StreamTap>();
    const minted = await gate.mintPass({ ...access, ...credentials }, async () => {
      if (!stage.isLive(uri)) throw new Denial('stream_offline');
      tapped.resolve(await stage.tap(uri, isCarried));
    });
    if (isPreShared && minted.key === null) throw new Denial('rights_insufficient', { detail: 'no key' });
    const preShared = isPreShared && minted.key !== null ? createPreShared(minted.key, clock) : undefined;
    const tap = await tapped.promise;
    const lines = describeLines(tap);
    described = { target, tap, lines, pass: minted.pass, preShared };
    const body = formatDescription({
      id: randomInt(1, 2 ** 47),
      lines,
      nowMs: clock.nowMs(),
      saysKeys: preShared === undefined,
    });
    return {
      status: 200,
      headers: {
        'Content-Base': `${target.base}/`,
        'Content-Type': 'application/sdp',
        'Cache-Control': 'no-store',
        [NONCE_FIELD]: preShared?.nonce,
      },
      body,
    };
  }

  async function open({ target, tap, pass }: Described): Promise<Session<RtspViewing>> {
    const { uri } = target;
    return gate.admit(
      {
        ...{ protocol: 'rtsp', uri, pass, authorization: undefined, proof: undefined, method: 'SETUP' },
        ...{ url: publicUrl + uri, bodyHash: '', peer, confidential: isConfidential() },
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
              ways.close();
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
    if (described === undefined || described.target.uri !== target.uri) return notNow();
    const { lines } = described;
    const line = target.line === undefined ? lines[0] : lines.find(({ kind }) => kind === target.line);
    if (line === undefined) throw new Denial('not_found');
    // All of the stream at once cannot be set up where it has several lines.
    if (target.line === undefined && lines.length > 1) return inState(460);
    // ffmpeg sets its lines up anew, without a word of the session, when UDP does not reach it.
    const isNamed = headers.has('session') || !ways.has(line.kind);
    if (session !== undefined && isNamed && requireSession(request) === undefined) return inState(454);
    if (session?.viewing.isPlaying() === true) return notNow();
    // Its packets are under keys that were agreed on: others would need another sender.
    if (described.preShared !== undefined && ways.has(line.kind)) return notNow();
    const offered = parseTransport(headers.get('transport') ?? '');
    const agreed = described.preShared?.accept(headers.get('keymgmt'), line.key.ssrc);
    const receiver = agreed === undefined ? rtcpReceiverOf(headers.get('keymgmt')) : agreed.reports;
    const way = ways.take(line.kind, offered, receiver);
    if (way === undefined) return inState(461);
    session ??= await admitted(open(described));
    const { key = line.key } = agreed ?? {};
    session.viewing.setUp({ ...line, key }, way.outlet, way.link);
    return {
      status: 200,
      headers: {
        Session: sessionHeader(session),
        Transport: formatTransport(way.chosen, line.key.ssrc),
        KeyMgmt: agreed?.answer,
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
      else if (described?.preShared !== undefined) {
        const { preShared } = described;
        elsewhere.set(opened.token, controlFromElsewhere);
        void opened.ended.then(() => {
          elsewhere.set(opened.token, (request) => tellLast(opened, preShared, request));
          setTimeout(() => elsewhere.delete(opened.token), LAST_RECEIPTS_WITHIN_MS).unref();
        });
      }
      return opened;
    } catch (error) {
      forget();
      throw error;
    }
  }

  /** Of a session that has ended: its receipts, and nothing else. */
  async function tellLast(
    { token, receipts }: Session,
    preShared: PreShared,
    request: RtspRequest,
  ): Promise<Answer> {
    const { method, url, body, headers } = request;
    if (method !== 'GET_PARAMETER' || !asksForReceipts(request)) return inState(454);
    preShared.requireControl({ method, url, session: token, body }, headers.get(CONTROL_FIELD.toLowerCase()));
    return { status: 200, ...(await lastReceiptsOf({ receipts }, signReceipts)) };
  }

  function play(request: RtspRequest): Answer {
    const own = requireSession(request);
    if (own === undefined) return inState(454);
    const { line, uri } = parseRtspUrl(request.url);
    if (described?.target.uri !== uri) return inState(454);
    if (line !== undefined && ways.lines > 1) return inState(460);
    if (!ways.areAlike()) return notNow();
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
    if (request.headers.get('accept') !== 'application/json') return { status: 200 };
    return { status: 200, ...(await lastReceiptsOf(own, signReceipts)) };
  }

  function parameters(request: RtspRequest): Answer {
    const own = requireSession(request);
    if (request.headers.has('session') && own === undefined) return inState(454);
    if (own !== undefined && asksForReceipts(request))
      return { status: 200, ...receiptsOf(own, signReceipts) };
    // There are no others: what is asked for without any is whether we are there.
    if (request.body.length > 0) return { status: 451 };
    return {
      status: 200,
      ...(session === undefined ? {} : { headers: { Session: sessionHeader(session) } }),
    };
  }

  /** Another ticket in the place of the session's own: media, keys and numbers go on. */
  async function setParameter(request: RtspRequest): Promise<Answer> {
    const ticket = readTicketParameter(request);
    if (ticket === undefined) return parameters(request);
    const own = requireSession(request);
    if (own === undefined) return inState(454);
    const url = publicUrl + own.grant.uri;
    const { method, headers } = request;
    await gate.renew(own, {
      ...{ protocol: 'rtsp', ...readRenewal(headers, ticket), method, url, peer },
      confidential: isConfidential(),
    });
    return { status: 200, headers: { Session: sessionHeader(own) } };
  }

  function pause(request: RtspRequest): Answer {
    const own = requireSession(request);
    if (own === undefined) return inState(454);
    own.viewing.pause();
    return { status: 200, headers: { Session: sessionHeader(own) } };
  }

  /** A request of a session, on its own connection or another one. */
  async function control(request: RtspRequest): Promise<Answer> {
    const { headers, method, url, body } = request;
    const own = requireSession(request);
    if (own !== undefined) {
      const asked = { method, url, session: own.token, body };
      described?.preShared?.requireControl(asked, headers.get(CONTROL_FIELD.toLowerCase()));
      options.onSign();
    }
    switch (method) {
      case 'PLAY':
        return play(request);
      case 'PAUSE':
        return pause(request);
      case 'TEARDOWN':
        return tearDown(request);
      case 'GET_PARAMETER':
        return parameters(request);
      case 'SET_PARAMETER':
        return setParameter(request);
      default:
        return { status: 501, headers: { Public: METHODS } };
    }
  }

  async function controlFromElsewhere(request: RtspRequest): Promise<Answer> {
    const answer = await control(request);
    // Torn down: who watches over this connection is to see it.
    if (session === undefined) options.onEnded();
    return answer;
  }

  return {
    async answer(request) {
      const required = request.headers.get('require');
      if (required !== undefined && required !== PRE_SHARED_KEY_FEATURE) {
        return inState(551, isFieldValue(required) ? { Unsupported: required } : {});
      }
      switch (request.method) {
        case 'OPTIONS':
          return { status: 200, headers: { Public: METHODS } };
        case 'DESCRIBE':
          return describe(request);
        case 'SETUP':
          return setUp(request);
        default: {
          const inCharge = elsewhere.get(sessionIdOf(request)) ?? control;
          return inCharge === controlFromElsewhere ? control(request) : inCharge(request);
        }
      }
    },
    frame: ways.frame,
    hasSession: () => session !== undefined && !session.isEnded(),
    areProven: () => session !== undefined && described?.preShared !== undefined,
    leave() {
      left = true;
      session?.viewing.gone('viewer_left');
    },
  };
}
