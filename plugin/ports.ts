/**
 * What the plugin's core needs from outside, and what its parts need from each other. Each consumer declares the
 * narrow interface that it uses; only the composition root sees the implementations.
 */
import type { CryptoKey, JWK } from 'jose';
import type {
  EndReason,
  Lease,
  Receipt,
  ReceiptsStored,
  Redeemed,
  Revocation,
  SessionOpening,
} from './contract.ts';

export interface Clock {
  /** Unix time in milliseconds. */
  nowMs(): number;
  /** Milliseconds that never jump; only differences mean something. */
  monotonicMs(): number;
}

/** Structured log; the object holds codes, ids and counts, never a ticket, key, proof or claim value. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Public keys of the trusted (pinned) order servers. */
export interface KeySource {
  /**
   * The key that an issuer signs tickets with.
   * @throws Denial `ticket_untrusted` for an issuer that is not pinned or a kid that it does not have;
   *   `order_server_unreachable` when nothing fresh enough is known.
   */
  findSigningKey(issuer: string, kid: string, alg: string): Promise<CryptoKey>;
}

/** Private key of this streaming server that tickets are sealed to. */
export interface UnsealKey {
  readonly kid: string;
  readonly privateJwk: JWK;
}

/** Counted rights, kept by the order server. All throw Denial; `order_server_unreachable` when it does not answer. */
export interface Redemptions {
  reserve(session: string, attempt: string | null, ticket: string): Promise<Redeemed>;
  commit(session: string): Promise<Redeemed>;
  /** When it throws, it may be tried again behind that. */
  release(session: string): Promise<void>;
}

/** What a revocation can name; a `Grant` is one. */
export interface Revocable {
  readonly ticketId: string;
  readonly subject: string;
  /** `null` for a bearer ticket. */
  readonly jkt: string | null;
  /** `null` before there is a session. */
  readonly sessionId: string | null;
}

/** What the order server has taken back. */
export interface Revocations {
  /** Why a ticket must not be admitted, or its session not go on; `null` when it may. Constant time. */
  find(target: Revocable): 'revoked' | 'kicked' | null;
  /** True when too little is known of what is revoked, or for too long nothing was heard, to admit anybody. */
  isStale(): boolean;
  /** Calls back with each entry as it comes, and with `null` when all may have changed: everything is to be looked at. */
  onChange(listener: (entry: Revocation | null) => void): void;
}

/** The far end of the revocation feed. */
export interface RevocationSource {
  /**
   * Opens the stream of events (`contract.ts`) that follow number `after`. The signal ends it at any time; then, and
   * when the connection breaks, reading throws.
   * @throws Denial
   */
  openRevocations(after: number, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
}

/** Takes note of what staff should see; never fails, never waits. */
export interface Reports {
  /** Somebody has shown a proof again. @param sessionId `null` when it was no request of a session */
  proofReplayed(ticketId: string, sessionId: string | null): void;
}

/** Who may publish. */
export interface StreamKeys {
  /** @throws Denial `stream_key_invalid`, `order_server_unreachable`. */
  authorizePublish(uri: string, streamKey: string): Promise<void>;
}

/** Takes receipts for delivery; returns at once, delivers at least once. */
export interface ReceiptSink {
  /**
   * The first media of a session has left: from here on a crash leaves a session that must be closed.
   * @param onLease told, until its final receipt, what the order server's answers to its receipts lease to it
   */
  open(session: SessionOpening, onLease?: (lease: Lease) => void): void;
  append(receipt: Receipt): void;
  /** False when so much waits that no more progress receipts should be written; final ones are always taken. */
  hasRoom(): boolean;
  /** False when no session should begin: its receipts could not be kept. */
  takesSessions(): boolean;
  /** True once no crash can take this receipt back, and with it its place in the chain. */
  isKept(receipt: Receipt): boolean;
}

/** The far end of a sink. */
export interface ReceiptDelivery {
  deliver(receipts: readonly Receipt[]): Promise<ReceiptsStored>;
}

// ---------------------------------------------------------------- media

export interface MediaCounters {
  /** Milliseconds of media delivered since the viewer's first packet. */
  readonly mediaMs: number;
  readonly bytes: number;
}

/** One viewer's media, as the session sees it. Nothing is sent before the grant, nothing after `close`. */
export interface Viewing {
  /** Calls back once, when the first media packet leaves for this viewer. */
  onFirstMedia(listener: () => void): void;
  /** Calls back once, when the viewer or the source has gone. */
  onGone(listener: (reason: EndReason) => void): void;
  counters(): Promise<MediaCounters>;
  /**
   * Stops media: nothing leaves later than 500 ms after the call. Idempotent; the counters answer their last values
   * afterwards. A protocol that can tell the viewer why does so.
   */
  close(reason: EndReason): void;
}

/** Where RTP made in this process enters the stage. */
export interface RtpInput {
  /** The packet's memory is used again after the call: it must be sent or copied before that. */
  sendRtp(packet: Buffer): void;
  /** RTCP sender reports. */
  sendRtcp(packet: Buffer): void;
  close(): void;
}

/** What a video is coded in; the stage carries no other. */
export type VideoCodec =
  /** `profileLevelId`: six hex digits (RFC 6184 section 8.1). */
  | { readonly name: 'H264'; readonly profileLevelId: string }
  | { readonly name: 'VP8' }
  /** `profileId`: 0 to 3 (RFC 9628 section 6). */
  | { readonly name: 'VP9'; readonly profileId: number }
  /** `profile`: 0 to 2 (the AV1 RTP specification, section 7.2). */
  | { readonly name: 'AV1'; readonly profile: number };

/** A publisher's AAC LC, which WebRTC does not carry. */
export interface AacCodec {
  readonly name: 'AAC';
  /** At most 96,000; its RTP clock, too. */
  readonly sampleRateHz: number;
  /** 1 to 8. */
  readonly channels: number;
  /** AudioSpecificConfig (ISO/IEC 14496-3 section 1.6.2.1), at most 128 bytes. */
  readonly config: Buffer;
}

/** Sound that only taps hear. */
export interface AacParameters {
  readonly ssrc: number;
  readonly payloadType: number;
  readonly codec: AacCodec;
  /** Told when its first listener comes, and when the last one has left. */
  readonly onWatched: (watched: boolean) => void;
}

/** One rendition of a stream's video. */
export interface VideoParameters {
  /** Of several simulcast layers that of the lowest. */
  readonly ssrc: number;
  /** SSRCs of further simulcast layers, each better than the one before; all of them enter by one input. */
  readonly higherLayers?: readonly number[] | undefined;
  /** Layers within one encoding, such as `L3T3` (the W3C's scalability modes), where there are any. */
  readonly scalabilityMode?: string | undefined;
  readonly payloadType: number;
  readonly codec: VideoCodec;
  /** True for one that is made only while somebody watches it: viewers get it when they can take no other. */
  readonly onDemand?: boolean;
  /** Told when its first viewer comes (before he is sent anything) and when the last one has left. */
  readonly onWatched?: (watched: boolean) => void;
  /**
   * Told, however often, that a viewer needs a keyframe of the layer with this SSRC: for sources that can make one when
   * they are asked.
   */
  readonly onKeyframeRequest?: (ssrc: number) => void;
}

/** One live stream on the stage. */
export interface StageStream {
  /**
   * Adds a rendition; there may be several. A viewer gets the first, in the order in which they were added and those
   * that are made on demand last, that his offer can take. What is in an input may change to what every decoder of
   * its codec shows.
   * @throws TypeError (rejects with it) for a codec that the stage does not carry
   */
  addVideo(parameters: VideoParameters): Promise<RtpInput>;
  addAudio(parameters: { ssrc: number; payloadType: number }): Promise<RtpInput>;
  /** The same sound as it was published, for taps; it takes the place of one that there is. */
  addAac(parameters: AacParameters): Promise<RtpInput>;
  /**
   * From now on viewers who want video are refused (`offer_unsupported`) for this reason; `null`: no longer. Those
   * who are watching go on.
   */
  refuseVideo(reason: string | null): void;
  /** Ends the stream; its viewings go with `source_ended`. */
  close(): void;
}

/** Hears one line (video or audio) of a stream as RTP. Nothing that it is told may throw. */
export interface TapListener {
  /** A packet, whose memory is used again after the call. */
  rtp(packet: Buffer): void;
  /** Its sender report with the CNAME, as `buildSenderReport` makes them. */
  rtcp(packet: Buffer): void;
  /** There will be no more. */
  ended(): void;
}

export interface TappedLine {
  /** Answers what stops it. A keyframe is asked for. */
  listen(listener: TapListener): () => void;
  /** Asks the source for a keyframe, where it can make one. */
  requestKeyframe(): void;
}

/** A stream's RTP for adapters that send packets themselves. */
export interface StreamTap {
  readonly video:
    | (TappedLine & {
        readonly codec: VideoCodec;
        /** Encodings or spatial layers that the source sends, as far as they are known; 1 or more. */
        readonly layers: number;
      })
    | undefined;
  /** `codec` is `undefined` for Opus. */
  readonly audio: (TappedLine & { readonly codec: AacCodec | undefined }) | undefined;
  /** Milliseconds of media that the stream has carried so far. */
  mediaMs(): number;
}

/** The stage as a source of media sees it. */
export interface StageEntrance {
  /** `mediaMs` answers the milliseconds of media that this stream has carried so far; gaps do not count. */
  openStream(path: string, mediaMs: () => number): StageStream;
}
