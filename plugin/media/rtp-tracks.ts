/** The tracks of one stage stream: media in, RTP and sender reports out. */
import { randomInt } from 'node:crypto';
import type { Clock, Log, RtpInput, VideoCodec } from '../ports.ts';
import {
  buildSenderReport,
  createAacPacketizer,
  createAv1Packetizer,
  createH264Packetizer,
  createOpusPacketizer,
  createVp8Packetizer,
  createVp9Packetizer,
  H264_CLOCK_RATE,
  OPUS_CLOCK_RATE,
} from '../rtp/index.ts';
import type { Timeline } from './timeline.ts';

export const VIDEO_PAYLOAD_TYPE = 96;
export const AUDIO_PAYLOAD_TYPE = 97;

/** While the stage opens its input, at most this much of the current group of pictures is held. */
const MAX_HELD_VIDEO_BYTES = 4 * 1024 * 1024;
const MAX_HELD_AUDIO_PACKETS = 100;
const REPORT_INTERVAL_MS = 1000;
/**
 * Reports say that the media was captured this much earlier than the timeline has it. mediasoup (3.27) cannot write
 * reports on media captured after this moment: it takes the moment when the latest packet came instead, and that is
 * a different one for each track. Publishers may get this far ahead of the timeline before it is mapped anew.
 */
const CAPTURED_EARLIER_MS = 3000;
/**
 * Tags have whole milliseconds, so packets come out a little early or late. Receivers conceal every sample that seems
 * to be missing: packets within 15 ms of their place follow each other exactly.
 */
const MAX_AUDIO_JITTER_MS = 15;

export interface TrackContext {
  /** Canonical name: the same for both tracks, so that viewers play them in sync. */
  readonly cname: string;
  readonly timeline: Timeline;
  readonly clock: Clock;
  readonly log: Log;
  /** Unix milliseconds on a clock that never jumps. */
  readonly ntpMs: () => number;
}

export interface VideoFrame {
  /** NAL units of H.264, OBUs of AV1, one frame of VP8 or VP9; nobody writes to them any more: frames may be held. */
  readonly units: readonly Buffer[];
  readonly presentationMs: number;
  readonly keyframe: boolean;
  /** Memory that is not freed while the frame is held: the whole tag that its units are views of. */
  readonly heldBytes: number;
}

/** What a video track is coded in. */
type TrackCodec = VideoCodec['name'];

export interface VideoTrack {
  /** H.264: SPS and PPS, AV1: a sequence header, for keyframes that bring none. */
  setParameterSets(sets: readonly Buffer[]): void;
  /** Sends a frame, or holds it until the stage is ready; nothing goes out before a keyframe. */
  send(frame: VideoFrame): void;
  /** What comes next is of another encoder: it starts with the first keyframe that is later than all that was sent. */
  startAnew(): void;
  close(): void;
}

export interface AudioTrack {
  /** Sends an Opus packet or AAC unit that starts at `ticks` (samples); one that lies before the end of its forerunner is dropped. */
  send(packet: Buffer, ticks: number, samples: number): void;
  close(): void;
}

type Open = (parameters: { ssrc: number; payloadType: number }) => Promise<RtpInput>;

interface Stream {
  readonly ssrc: number;
  timestampAt(ticks: number): number;
  packets(): number;
  octets(): number;
}

interface InputHandler {
  onReady(): void;
  /** There will be no input: what was held for it can go. */
  onRefused(): void;
}

/** An input of the stage that takes a moment to open. */
function openInput(opening: Promise<RtpInput>, log: Log, { onReady, onRefused }: InputHandler) {
  let input: RtpInput | undefined;
  let closed = false;
  opening.then(
    (opened) => {
      if (closed) return opened.close();
      input = opened;
      onReady();
    },
    (error: unknown) => {
      if (closed) return;
      log.error({ error: String(error) }, 'the stage refused a track');
      onRefused();
    },
  );
  return {
    isReady: () => input !== undefined,
    sendRtp: (packet: Buffer) => input?.sendRtp(packet),
    sendRtcp: (packet: Buffer) => input?.sendRtcp(packet),
    close() {
      closed = true;
      input?.close();
      input = undefined;
    },
  };
}

/**
 * Sends a report after the first packet and then every second, while there are packets, and at once when the timeline
 * has been mapped to the wall clock anew, lest the tracks disagree until the next. It says where this moment
 * lies on the RTP clock; both tracks take "this moment" from the one timeline, which is what lip sync rests on.
 */
function createReporter(context: TrackContext, clockRate: number, send: (report: Buffer) => void) {
  const { timeline } = context;
  let lastMs = -Infinity;
  let mapping = timeline.mapping();
  return function reportIfDue(stream: Stream): void {
    const nowMs = context.clock.monotonicMs();
    if (nowMs - lastMs < REPORT_INTERVAL_MS && mapping === timeline.mapping()) return;
    lastMs = nowMs;
    mapping = timeline.mapping();
    const reportedMs = timeline.nowMs() + CAPTURED_EARLIER_MS;
    send(
      buildSenderReport({
        ssrc: stream.ssrc,
        ntpMs: context.ntpMs(),
        rtpTimestamp: stream.timestampAt((reportedMs * clockRate) / 1000),
        packets: stream.packets(),
        octets: stream.octets(),
        cname: context.cname,
      }),
    );
  };
}

interface VideoPacketizer extends Stream {
  setParameterSets(sets: readonly Buffer[]): void;
  send(units: readonly Buffer[], presentationMs: number, keyframe: boolean): void;
}

function createVideoPacketizer(
  codec: TrackCodec,
  ssrc: number,
  send: (packet: Buffer) => void,
): VideoPacketizer {
  const options = { ssrc, payloadType: VIDEO_PAYLOAD_TYPE, send };
  switch (codec) {
    case 'H264':
      return createH264Packetizer(options);
    case 'AV1': {
      const packetizer = createAv1Packetizer(options);
      return { ...packetizer, setParameterSets: ([header]) => packetizer.setSequenceHeader(header) };
    }
    case 'VP8':
    case 'VP9': {
      const packetizer = codec === 'VP8' ? createVp8Packetizer(options) : createVp9Packetizer(options);
      return {
        ...packetizer,
        setParameterSets: () => undefined,
        send: (units, presentationMs, keyframe) =>
          units.forEach((frame) => packetizer.send(frame, presentationMs, keyframe)),
      };
    }
  }
}

/** Opens one rendition of a stage stream's video; all codecs have the RTP clock of H.264. */
export function createVideoTrack(context: TrackContext, codec: TrackCodec, open: Open): VideoTrack {
  const ssrc = randomInt(1, 0x1_0000_0000);
  let held: VideoFrame[] = [];
  let heldBytes = 0;
  let started = false;
  let isRefused = false;
  let latestMs = -Infinity;
  const input = openInput(open({ ssrc, payloadType: VIDEO_PAYLOAD_TYPE }), context.log, {
    onReady() {
      const frames = held;
      release();
      for (const frame of frames) forward(frame);
    },
    onRefused() {
      isRefused = true;
      release();
    },
  });
  const packetizer = createVideoPacketizer(codec, ssrc, input.sendRtp);
  const reportIfDue = createReporter(context, H264_CLOCK_RATE, input.sendRtcp);

  function forward(frame: VideoFrame): void {
    packetizer.send(frame.units, frame.presentationMs, frame.keyframe);
    latestMs = Math.max(latestMs, frame.presentationMs);
    if (packetizer.packets() > 0) reportIfDue(packetizer);
  }

  function release(): void {
    held = [];
    heldBytes = 0;
  }

  function hold(frame: VideoFrame): void {
    if (frame.keyframe) release();
    held.push(frame);
    heldBytes += frame.heldBytes;
    if (heldBytes <= MAX_HELD_VIDEO_BYTES) return;
    release();
    started = false;
  }

  return {
    setParameterSets: packetizer.setParameterSets,
    send(frame) {
      if (isRefused || (!started && (!frame.keyframe || frame.presentationMs <= latestMs))) return;
      started = true;
      if (input.isReady()) forward(frame);
      else hold(frame);
    },
    startAnew() {
      started = false;
      release();
    },
    close() {
      release();
      input.close();
    },
  };
}

interface SoundFormat {
  readonly clockRate: number;
  readonly createPacketizer: (options: {
    ssrc: number;
    payloadType: number;
    send: (packet: Buffer) => void;
  }) => Stream & { send(packet: Buffer, ticks: number, marker: boolean): void };
}

const OPUS: SoundFormat = { clockRate: OPUS_CLOCK_RATE, createPacketizer: createOpusPacketizer };

/** AAC as it is, on a clock of its own. */
export const aacFormat = (clockRate: number): SoundFormat => ({
  clockRate,
  createPacketizer: (options) => createAacPacketizer({ ...options, clockRate }),
});

/** Opens a sound of a stage stream. */
export function createAudioTrack(
  context: TrackContext,
  open: Open,
  { clockRate, createPacketizer }: SoundFormat = OPUS,
): AudioTrack {
  const maxJitterTicks = (MAX_AUDIO_JITTER_MS * clockRate) / 1000;
  const ssrc = randomInt(1, 0x1_0000_0000);
  let held: { packet: Buffer; ticks: number; samples: number }[] = [];
  let isRefused = false;
  let endTicks: number | undefined;
  const input = openInput(open({ ssrc, payloadType: AUDIO_PAYLOAD_TYPE }), context.log, {
    onReady() {
      const packets = held;
      held = [];
      for (const { packet, ticks, samples } of packets) forward(packet, ticks, samples);
    },
    onRefused() {
      isRefused = true;
      held = [];
    },
  });
  const packetizer = createPacketizer({ ssrc, payloadType: AUDIO_PAYLOAD_TYPE, send: input.sendRtp });
  const reportIfDue = createReporter(context, clockRate, input.sendRtcp);

  function forward(packet: Buffer, ticks: number, samples: number): void {
    const offTicks = endTicks === undefined ? Infinity : ticks - endTicks;
    if (offTicks < -maxJitterTicks) return;
    const follows = offTicks <= maxJitterTicks;
    const startTicks = follows ? ticks - offTicks : ticks;
    packetizer.send(packet, startTicks, !follows);
    endTicks = startTicks + samples;
    reportIfDue(packetizer);
  }

  return {
    send(packet, ticks, samples) {
      if (input.isReady()) return forward(packet, ticks, samples);
      if (isRefused) return;
      // It is a view of a whole tag, which it would keep.
      held.push({ packet: Buffer.from(packet), ticks, samples });
      if (held.length > MAX_HELD_AUDIO_PACKETS) held.shift();
    },
    close() {
      held = [];
      input.close();
    },
  };
}
