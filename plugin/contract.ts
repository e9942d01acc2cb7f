/** What crosses a border: between adapter and gate, and on the wire between streaming server and order server. */
import { z } from 'zod';
import { isStreamPath, type Ask, type Rights } from './rights/index.ts';

// ---------------------------------------------------------------- adapter -> gate -> adapter

export type Protocol = 'whep' | 'rtsp' | 'rtmp' | 'http-flv' | 'ws-flv' | 'pass';

/** One request to play, whatever the protocol; each adapter fills it in. */
export interface AccessRequest {
  readonly protocol: Protocol;
  /** Stream path, already checked by `isStreamPath`. */
  readonly uri: string;
  /** The whole Authorization header, `undefined` when absent. */
  readonly authorization: string | undefined;
  /** The pass in the URL of a player that cannot send headers; then neither ticket nor proof is looked at. */
  readonly pass?: string;
  /** The whole DPoP header, `undefined` when absent. */
  readonly proof: string | undefined;
  /** HTTP (or RTSP) method, for the proof's `htm`. */
  readonly method: string;
  /** The request's URL as the configured public URL has it (never from Host), for the proof's `htu`. */
  readonly url: string;
  /** DTLS fingerprint of the offer as `fingerprintText` writes it; then the proof must carry the same. */
  readonly fingerprint?: string;
  /** SHA-256 (base64url) of what is asked for beside the ticket (WHEP: the offer); a retried attempt must repeat it. */
  readonly bodyHash: string;
  /** Client address, for logs and limits only. */
  readonly peer: string;
  /** True when the media is encrypted on its way to the viewer, or never leaves this machine. */
  readonly confidential: boolean;
}

/** A request that belongs to a session. */
export type SessionRequest = Pick<AccessRequest, 'authorization' | 'proof' | 'method' | 'url'>;

/** A request that brings another ticket for a running session. */
export type RenewalRequest = SessionRequest & Pick<AccessRequest, 'protocol' | 'peer' | 'confidential'>;

/** The outcome of a positive decision: rights and keys, for one session. */
export interface Grant {
  /** UUIDv7, for logs, receipts and the order server. */
  readonly sessionId: string;
  /** The ticket's `jti`. */
  readonly ticketId: string;
  readonly issuer: string;
  /** Pseudonym of the order. */
  readonly subject: string;
  readonly uri: string;
  readonly rights: Rights;
  readonly ask: Ask;
  /** RFC 7638 thumbprint of the holder's key; `null` for a bearer ticket. */
  readonly jkt: string | null;
  /** The client's attempt UUID; `null` for a bearer ticket without one. */
  readonly attempt: string | null;
  /** Unix seconds; the session ends then at the latest. */
  readonly expiresAtSeconds: number;
  /** The ticket's 32-byte secret, shared with the holder; `null` when keys are left to the streaming server. */
  readonly key: Uint8Array | null;
  readonly watermark: string | null;
}

// ---------------------------------------------------------------- receipts

export const END_REASONS = [
  'completed',
  'viewer_left',
  'expired',
  'exhausted',
  'revoked',
  'kicked',
  'replaced',
  'viewer_stalled',
  'above_tier',
  'server_stopped',
  'server_crashed',
  'source_ended',
] as const;
export type EndReason = (typeof END_REASONS)[number];

const uuid = z.uuid();
const unixSeconds = z.number().int().nonnegative().max(8_640_000_000_000);
const amount = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
export const streamPathSchema = z.string().refine(isStreamPath, 'not a stream path');
const sha256Text = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** What a session has consumed so far: cumulative, numbered from 0, each naming the hash of the one before. */
export const receiptSchema = z
  .strictObject({
    session: uuid,
    ticket: uuid,
    uri: streamPathSchema,
    seq: z.number().int().nonnegative().max(1_000_000_000),
    /** `receiptHash` of the receipt before, `null` in the first. */
    prev: sha256Text.nullable(),
    startedAt: unixSeconds,
    at: unixSeconds,
    /** Milliseconds of media delivered; pauses and time without packets do not count. */
    mediaMs: amount,
    /** Bytes of RTP (headers included), or of FLV, that left for this viewer. */
    bytes: amount,
    state: z.enum(['progress', 'final']),
    reason: z.enum(END_REASONS).nullable(),
  })
  .refine(
    (receipt) => (receipt.state === 'final') === (receipt.reason !== null),
    'final receipts, and only they, have a reason',
  )
  .refine(
    (receipt) => (receipt.seq === 0) === (receipt.prev === null),
    'the first receipt, and only it, has no prev',
  );
export type Receipt = z.infer<typeof receiptSchema>;

/** What the receipts of a session have in common, known when its first media leaves. */
export type SessionOpening = Pick<Receipt, 'session' | 'ticket' | 'uri' | 'startedAt'>;

export const MAX_RECEIPTS_PER_BATCH = 500;

// ---------------------------------------------------------------- publisher health

/** What is wrong with a publisher, for operators. */
export const HEALTH_WARNINGS = [
  'no_video',
  'no_audio',
  'video_codec',
  'audio_codec',
  'b_frames',
  'keyframe_interval',
  'bitrate',
  'malformed_tags',
] as const;

/** The most that are made anew of one stream at a time. */
const MAX_REENCODERS = 4;
const codecName = z.string().regex(/^[ -~]{1,32}$/);
const bitsPerSecond = z.number().int().nonnegative().max(100_000_000_000);
const pixels = z.number().int().positive().max(16_384);

/** What a live stream's publisher sends, and what is wrong with it. */
export const publisherHealthSchema = z.strictObject({
  /** `null` until the publisher sends any. */
  video: z
    .strictObject({
      codec: codecName,
      /** RFC 6184 section 8.1; H.264 only. */
      profileLevelId: z
        .string()
        .regex(/^[0-9a-f]{6}$/)
        .nullable(),
      /** As the publisher's metadata state them. */
      width: pixels.nullable(),
      height: pixels.nullable(),
      hasBFrames: z.boolean(),
      /** Between the last two keyframes; `null` before the second. */
      keyframeIntervalMs: z.number().int().nonnegative().max(86_400_000).nullable(),
      framesPerSecond: z.number().nonnegative().max(100_000),
      bitsPerSecond,
    })
    .nullable(),
  audio: z
    .strictObject({
      codec: codecName,
      sampleRateHz: z.number().int().positive().max(16_777_215).nullable(),
      channels: z.number().int().positive().max(255).nullable(),
      bitsPerSecond,
    })
    .nullable(),
  /** Tags that broke the format. */
  malformedTags: amount,
  /** Each at most once. */
  warnings: z
    .array(
      z.strictObject({
        code: z.enum(HEALTH_WARNINGS),
        /** Plain words, such as "keyframe every 8 s". */
        text: z.string().regex(/^[ -~]{1,200}$/),
      }),
    )
    .max(HEALTH_WARNINGS.length),
  /** What is made anew of the video for WebRTC viewers. Absent from media servers that cannot. */
  reencoders: z
    .array(
      z.strictObject({
        /** What is made. */
        codec: codecName,
        /** False while it waits to be started, or started again. */
        running: z.boolean(),
        /** Times that it ended by itself. */
        restarts: amount,
        /** Pictures that it was not given, being too slow. */
        droppedPictures: amount,
        /** From when it was given the latest picture that it has made to when it had made it. */
        lagMs: amount,
        /**
         * What a machine that is too slow leaves out: 0 nothing, 1 every second picture, 2 half the width and height
         * as well. Absent from media servers that never do.
         */
        reduction: z.number().int().min(0).max(2).optional(),
      }),
    )
    .max(MAX_REENCODERS)
    .optional(),
});
export type ReencoderStatus = NonNullable<PublisherHealth['reencoders']>[number];
export type PublisherHealth = z.infer<typeof publisherHealthSchema>;
export type HealthWarning = PublisherHealth['warnings'][number];

export const streamStatusSchema = z.strictObject({
  uri: streamPathSchema,
  onAirSince: unixSeconds,
  /** Sessions that are being served. */
  viewers: z.number().int().nonnegative().max(10_000_000),
  health: publisherHealthSchema,
});
/** One stream that is on the air at a streaming server. */
export type StreamStatus = z.infer<typeof streamStatusSchema>;

// ---------------------------------------------------------------- streaming server -> order server
// Each body is a compact JWS (content-type application/jose) signed with the registered server key.

/** In every server message: who speaks to whom, when, and a number used once. */
export const envelope = {
  iss: z.string().min(1).max(200),
  aud: z.string().min(1).max(500),
  iat: unixSeconds,
  jti: uuid,
};

/** POST /v1/redemptions, `typ: "redemption+jwt"`. */
export const redemptionSchema = z.discriminatedUnion('op', [
  /** Takes one access for the session, until commit, release or 30 s. The same session or attempt again: the same answer. */
  z.strictObject({
    ...envelope,
    op: z.literal('reserve'),
    session: uuid,
    attempt: uuid.nullable(),
    ticket: z.string().max(4096),
  }),
  /** The first media byte has left. */
  z.strictObject({ ...envelope, op: z.literal('commit'), session: uuid }),
  /** No media was sent: the access goes back. */
  z.strictObject({ ...envelope, op: z.literal('release'), session: uuid }),
  /** May the holder of a stream key publish here? `keyHash` is the key's SHA-256 in base64url. */
  z.strictObject({
    ...envelope,
    op: z.literal('publish'),
    session: uuid,
    uri: streamPathSchema,
    keyHash: sha256Text,
  }),
  /** Something that staff should see. `session` is the one that it happened to, or a new id when there was none. */
  z.strictObject({
    ...envelope,
    op: z.literal('report'),
    session: uuid,
    /** The ticket's `jti`. */
    ticket: uuid,
    what: z.enum(['proof_replayed']),
  }),
]);
export type Redemption = z.infer<typeof redemptionSchema>;

const leaseMembers = {
  session: uuid,
  /** What the session may use in all, counted from its beginning; what was said before is never taken back. */
  mediaMsLeft: amount.nullable(),
  bytesLeft: amount.nullable(),
};

/** A session's part of its ticket's budgets; `null` is "not limited". */
export const leaseSchema = z.strictObject(leaseMembers);
export type Lease = z.infer<typeof leaseSchema>;

/** The answer to reserve and commit. */
export const redeemedSchema = z.strictObject({
  ...leaseMembers,
  /** Unix seconds at which the ticket's window closes. */
  expiresAt: unixSeconds.nullable(),
  /** The concurrency lease lapses when no receipt comes for this long. */
  leaseSeconds: z.number().int().positive(),
});
export type Redeemed = z.infer<typeof redeemedSchema>;

/** POST /v1/receipts, `typ: "receipts+jwt"`: one signature for the batch. */
export const receiptBatchSchema = z.strictObject({
  ...envelope,
  receipts: z.array(receiptSchema).min(1).max(MAX_RECEIPTS_PER_BATCH),
});
export type ReceiptBatch = z.infer<typeof receiptBatchSchema>;

/** The answer to a batch: every receipt is either stored (now or before) or refused for good. */
export const receiptsStoredSchema = z.strictObject({
  stored: z.number().int().nonnegative(),
  refused: z.array(
    z.strictObject({ session: uuid, seq: z.number().int().nonnegative(), reason: z.string().max(100) }),
  ),
  /** Of the batch's sessions that go on, those whose tickets have budgets; absent where there are none. */
  leases: z.array(leaseSchema).max(MAX_RECEIPTS_PER_BATCH).exactOptional(),
});
export type ReceiptsStored = z.infer<typeof receiptsStoredSchema>;

export const MAX_STREAMS_PER_REPORT = 500;
/** Longest report, as a compact JWS. */
export const MAX_STREAMS_REPORT_BYTES = 256 * 1024;

/** POST /v1/streams, `typ: "streams+jwt"`: everything that is on the air at the sender; replaces its last report. */
export const streamsReportSchema = z.strictObject({
  ...envelope,
  streams: z
    .array(streamStatusSchema)
    .max(MAX_STREAMS_PER_REPORT)
    .refine(
      (streams) => new Set(streams.map(({ uri }) => uri)).size === streams.length,
      'a stream is reported twice',
    ),
});
export type StreamsReport = z.infer<typeof streamsReportSchema>;

// ---------------------------------------------------------------- order server -> streaming server
// GET /v1/revocations?after=N: server-sent events. The request carries `Authorization: Bearer <compact JWS>`,
// `typ: "revocations+jwt"`, whose `after` is that of the query.

/** Nothing is known yet: the answer begins with a snapshot. */
export const KNOWS_NOTHING = -1;
/** Revocations in one `snapshot` or `snapshot-part` event. */
export const MAX_REVOCATIONS_PER_EVENT = 500;
/** Characters of one event's data: 500 revocations of at most 250. */
export const MAX_REVOCATION_EVENT_CHARS = 128 * 1024;

const feedSeq = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);

/** The signed request for the feed. */
export const revocationsRequestSchema = z.strictObject({
  ...envelope,
  /** The latest `seq` that the streaming server has, or `KNOWS_NOTHING`. */
  after: z.number().int().min(KNOWS_NOTHING).max(Number.MAX_SAFE_INTEGER),
});
export type RevocationsRequest = z.infer<typeof revocationsRequestSchema>;

const revocationMembers = {
  /** The entry's place in the feed. */
  seq: feedSeq,
  /** Unix seconds after which nothing that it concerns can be alive; both sides drop it then. */
  until: unixSeconds,
};

/** `event: revocation`: one entry of the feed. What is revoked stays so; what is kicked may come back. */
export const revocationSchema = z.discriminatedUnion('kind', [
  /** One ticket, by its `jti`. */
  z.strictObject({
    ...revocationMembers,
    kind: z.literal('ticket'),
    value: uuid,
    action: z.literal('revoke'),
  }),
  /** Every ticket of one order, by their `sub`; a revoked account is one such entry per order. */
  z.strictObject({
    ...revocationMembers,
    kind: z.literal('subject'),
    value: z.string().regex(/^[A-Za-z0-9._:-]{1,100}$/),
    action: z.literal('revoke'),
  }),
  /** Every ticket bound to one proof key, by its `cnf.jkt`. */
  z.strictObject({
    ...revocationMembers,
    kind: z.literal('key'),
    value: sha256Text,
    action: z.literal('revoke'),
  }),
  /** One media session. */
  z.strictObject({
    ...revocationMembers,
    kind: z.literal('session'),
    value: uuid,
    action: z.literal('kick'),
  }),
]);
export type Revocation = z.infer<typeof revocationSchema>;

/** `event: heartbeat`, once a second: the latest `seq`. Ahead of what has come, it shows a gap. */
export const heartbeatSchema = z.strictObject({ seq: feedSeq });

/**
 * `event: snapshot`: everything that is revoked now, in place of all that was known. More than fits into one event is
 * preceded by `snapshot-part` events of the same form and `seq`.
 */
export const snapshotSchema = z.strictObject({
  seq: feedSeq,
  revocations: z.array(revocationSchema).max(MAX_REVOCATIONS_PER_EVENT),
});
export type RevocationSnapshot = z.infer<typeof snapshotSchema>;
