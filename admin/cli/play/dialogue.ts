/**
 * What our client says: DESCRIBE with ticket and proof, SETUP with keys by MIKEY, and every request of the session with a
 * control proof.
 */
import { randomBytes } from 'node:crypto';
import { parse as parseSdp } from 'sdp-transform';
import { OPUS_CLOCK_RATE, parseAacConfig, type AacConfig } from '../../../plugin/rtp/index.ts';
import { CONTROL_FIELD, formatControlProof } from '../../../plugin/rtsp/control.ts';
import {
  deriveRtspKeys,
  isKeyNonce,
  NONCE_FIELD,
  PRE_SHARED_KEY_FEATURE,
  type RtspKeys,
} from '../../../plugin/rtsp/keys.ts';
import { RECEIPTS } from '../../../plugin/rtsp/parameters.ts';
import type { RtspReply } from '../../../plugin/rtsp/reader.ts';
import type { LineKind } from '../../../plugin/rtsp/url.ts';
import { formatKeyMgmtHeader, parseKeyMgmtHeader } from '../../../plugin/srtp/index.ts';
import { buildPskInit, type MikeySession } from '../../../plugin/srtp/mikey/index.ts';
import { createProof } from '../../../plugin/ticket/index.ts';
import { PlayError } from './error.ts';
import type { Link } from './link.ts';
import type { HeldTicket } from './tickets.ts';

export type PlayedCodec = 'H264' | 'VP8' | 'VP9' | 'opus' | 'AAC';

/** A line of the description that can be played. */
export interface PlayedLine {
  readonly kind: LineKind;
  readonly codec: PlayedCodec;
  readonly clockRate: number;
  readonly payloadType: number;
  /** Of AAC. */
  readonly config?: AacConfig;
  /** Absolute. */
  readonly control: string;
}

export interface SetUpLine {
  /** Opens the line's packets. */
  readonly keys: MikeySession;
  /** UDP ports of the server, where it has named them. */
  readonly serverPorts: readonly [number, number] | undefined;
}

export interface Dialogue {
  /** @throws PlayError */
  describe(): Promise<PlayedLine[]>;
  /** @param transport what `Transport` offers. @throws PlayError */
  setUp(line: PlayedLine, transport: string): Promise<SetUpLine>;
  play(): Promise<void>;
  /** Another ticket of the same key and stream. @throws PlayError */
  renew(to: HeldTicket): Promise<void>;
  /**
   * What the server says of receipts: a document for `readEvidence`. Keeps the session alive.
   * @param over another connection, for those of a session that has ended with its own
   */
  receipts(over?: Link): Promise<string>;
  /** Ends the session; the last receipts. */
  tearDown(): Promise<string>;
}

/** Kind, name in the description, and the clock rate that the format fixes; that of AAC is in its configuration. */
const CODECS: readonly (readonly [LineKind, string, PlayedCodec, number?])[] = [
  ...(['H264', 'VP8', 'VP9'] as const).map((name) => ['video', name.toLowerCase(), name, 90_000] as const),
  ['audio', 'opus', 'opus', OPUS_CLOCK_RATE],
  ['audio', 'mpeg4-generic', 'AAC'],
];
/** AAC-hbr (RFC 3640 section 3.3.6). */
const AAC_LAYOUT = { mode: 'aac-hbr', sizelength: '13', indexlength: '3', indexdeltalength: '3' };
const SUITE = 'AES_CM_128_HMAC_SHA1_80';
const MKI_BYTES = 4;

function refusalOf(method: string, { status, body }: RtspReply): PlayError {
  let why = '';
  try {
    const { code, title, detail } = JSON.parse(body.toString()) as Record<string, unknown>;
    const words = [code, title, detail].filter(
      (word) => typeof word === 'string' && /^[ -~]{1,200}$/.test(word),
    );
    if (words.length > 0) why = `: ${words.join(', ')}`;
    // The proof is made over the URL that was typed, and an address is another one than a name.
    if (code === 'proof_invalid' && detail === 'htu') why += '; take the URL that the server is known by';
  } catch {
    // Not all refusals have a document.
  }
  return new PlayError(`${method} is refused with ${String(status)}${why}`);
}

/** AudioSpecificConfig of AAC LC in packets that we can take apart. */
function aacConfigOf(format: string): AacConfig | undefined {
  const parameters = new Map(
    format.split(';').map((part) => {
      const [name = '', value = ''] = part.trim().split('=', 2);
      return [name.toLowerCase(), value.toLowerCase()];
    }),
  );
  const isKnown = Object.entries(AAC_LAYOUT).every(([name, value]) => parameters.get(name) === value);
  const hex = parameters.get('config') ?? '';
  if (!isKnown || !/^(?:[0-9a-f]{2}){2,128}$/.test(hex)) return undefined;
  try {
    const config = parseAacConfig(Buffer.from(hex, 'hex'));
    return config.unitSamples === undefined ? undefined : config;
  } catch {
    return undefined;
  }
}

/** The first line of each kind: whatever a server describes, no more is opened for it. */
function linesOf(sdp: string, base: string): PlayedLine[] {
  const lines = parseSdp(sdp).media.flatMap(({ type, rtp, fmtp, control, protocol }): PlayedLine[] => {
    const [format] = rtp;
    const name = format?.codec.toLowerCase();
    const [kind, , codec, fixedRate] = CODECS.find((known) => known[0] === type && known[1] === name) ?? [];
    if (format === undefined || kind === undefined || codec === undefined || protocol !== 'RTP/SAVP')
      return [];
    const { rate: clockRate, payload: payloadType } = format;
    const config =
      codec === 'AAC'
        ? aacConfigOf(fmtp.find(({ payload }) => payload === payloadType)?.config ?? '')
        : undefined;
    if (clockRate === undefined || clockRate !== (fixedRate ?? config?.sampleRateHz)) return [];
    if (!(payloadType >= 0 && payloadType <= 127)) return [];
    const line = { kind, codec, clockRate, payloadType, control: new URL(control ?? '', base).href };
    return [config === undefined ? line : { ...line, config }];
  });
  return lines.filter((line) => lines.find(({ kind }) => kind === line.kind) === line);
}

function readLines({ body, headers }: RtspReply, url: string): PlayedLine[] {
  try {
    return linesOf(body.toString(), headers.get('content-base') ?? `${url}/`);
  } catch {
    throw new PlayError('the description cannot be read');
  }
}

/** UDP ports of the server. */
function serverPortsOf(transport: string): readonly [number, number] | undefined {
  const [, rtp, rtcp] = /;server_port=([0-9]{1,5})-([0-9]{1,5})/.exec(transport) ?? [];
  const ports = [Number(rtp), Number(rtcp)] as const;
  return ports.every((port) => port >= 1 && port <= 65_535) ? ports : undefined;
}

/**
 * @param url of the stream, as the server's public URL has it: proofs are for it
 */
export function createDialogue(link: Link, url: string, held: HeldTicket): Dialogue {
  let nonce: string | undefined;
  let keys: RtspKeys | undefined;
  let session = '';
  let number = 0;

  async function proofOf(of: HeldTicket, method: string): Promise<string> {
    const { privateKey, publicJwk, alg } = of.proofKey;
    return createProof({ privateKey, publicJwk, alg, method, url, ticket: of.ticket, nonce });
  }

  /** A request with a proof; once more when that lacked a current nonce (RFC 9449 section 8). */
  async function askWithProof(
    of: HeldTicket,
    method: string,
    request: () => { headers: Record<string, string>; body?: string },
  ): Promise<RtspReply> {
    for (let tries = 1; ; tries++) {
      const DPoP = await proofOf(of, method);
      // Last: a control proof's number must be sent before the next one's.
      const { headers, body } = request();
      const reply = await link.ask(method, url, { ...headers, DPoP }, body);
      const given = reply.headers.get('dpop-nonce');
      const mayRepeat = tries === 1 && reply.status === 401 && given !== undefined && given !== nonce;
      nonce = given ?? nonce;
      if (!mayRepeat) return reply;
    }
  }

  function controlled(method: string, body = ''): Record<string, string> {
    if (keys === undefined) throw new PlayError('nothing was described');
    number += 1;
    const request = { method, url, session, body: Buffer.from(body) };
    return { Session: session, [CONTROL_FIELD]: formatControlProof(keys.control, request, number) };
  }

  async function control(
    method: string,
    more: Record<string, string> = {},
    body = '',
    over = link,
  ): Promise<RtspReply> {
    const reply = await over.ask(method, url, { ...controlled(method, body), ...more }, body);
    if (reply.status !== 200) throw refusalOf(method, reply);
    return reply;
  }

  return {
    async describe() {
      const reply = await askWithProof(held, 'DESCRIBE', () => ({
        headers: {
          Accept: 'application/sdp',
          Require: PRE_SHARED_KEY_FEATURE,
          Authorization: `DPoP ${held.ticket}`,
        },
      }));
      if (reply.status === 551)
        throw new PlayError('the server does not take keys by MIKEY with a pre-shared key');
      if (reply.status !== 200) throw refusalOf('DESCRIBE', reply);
      const keyNonce = reply.headers.get(NONCE_FIELD.toLowerCase()) ?? '';
      if (!isKeyNonce(keyNonce)) throw new PlayError('the server has not said what keys are made of');
      keys = deriveRtspKeys(await held.openSecret(), keyNonce);
      return readLines(reply, url);
    },
    async setUp(line, transport) {
      if (keys === undefined) throw new PlayError('nothing was described');
      const offer = buildPskInit({
        psk: keys.preShared,
        sessions: [{ ssrc: 0, suite: SUITE }],
        nowMs: Date.now(),
        mki: randomBytes(MKI_BYTES),
        requestVerification: true,
      });
      const reply = await link.ask('SETUP', line.control, {
        Transport: transport,
        KeyMgmt: formatKeyMgmtHeader([{ uri: line.control, data: offer.message }]),
        ...(session === '' ? {} : { Session: session }),
      });
      if (reply.status === 463)
        throw new PlayError(
          'the server does not take the keys: is the clock right, and the client part the ticket’s?',
        );
      if (reply.status !== 200) throw refusalOf('SETUP', reply);
      session = (reply.headers.get('session') ?? '').split(';')[0] ?? '';
      try {
        const [spec] = parseKeyMgmtHeader(reply.headers.get('keymgmt') ?? '');
        const [own] = offer.readVerification(spec?.data ?? Buffer.alloc(0));
        if (own === undefined) throw new TypeError('no crypto session');
        return { keys: own, serverPorts: serverPortsOf(reply.headers.get('transport') ?? '') };
      } catch {
        throw new PlayError('who answers does not share the ticket’s secret');
      }
    },
    async play() {
      await control('PLAY');
    },
    async renew(to) {
      const body = `ticket: ${to.ticket}\r\n`;
      const reply = await askWithProof(to, 'SET_PARAMETER', () => ({
        headers: { ...controlled('SET_PARAMETER', body), 'Content-Type': 'text/parameters' },
        body,
      }));
      if (reply.status !== 200) throw refusalOf('SET_PARAMETER', reply);
    },
    async receipts(over) {
      const reply = await control(
        ...(['GET_PARAMETER', { 'Content-Type': 'text/parameters' }, `${RECEIPTS}\r\n`, over] as const),
      );
      return reply.body.toString();
    },
    async tearDown() {
      return (await control('TEARDOWN', { Accept: 'application/json' })).body.toString();
    },
  };
}
