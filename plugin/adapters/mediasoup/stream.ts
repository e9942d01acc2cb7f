/**
 * One live stream. Its RTP is made in this process and enters each router that has viewers of it through a
 * DirectTransport there.
 *
 * Not through one router and `pipeToRouter`: pipes carry packets over a UDP socket that the worker empties by 32
 * packets a turn, and the burst of a large key frame overflows it. Tried with the socket buffer that Linux grants by
 * default (208 KiB) and 1080p at 20 Mbit/s: 1,092 packets were lost before 15 frames were seen, 94 with RTX on the
 * pipe. This way it is none.
 */
import { randomBytes } from 'node:crypto';
import type { types } from 'mediasoup';
import type { RtpInput, StageStream } from '../../ports.ts';
import { CANONICAL, profileOf } from './h264.ts';
import type { Tracks } from './match.ts';
import type { RouterLease } from './routers.ts';

/** The stream's producers on one router, for one viewer. */
export interface Feed {
  readonly video: types.Producer | undefined;
  readonly audio: types.Producer | undefined;
  /** Idempotent; when the last viewer on this router leaves, the stream leaves it too. */
  release(): void;
}

export interface LiveStream extends StageStream {
  /** True while there is anything to play. */
  isLive(): boolean;
  /** Resolves when both kinds are there, or the stream is a second old: a first viewer should not miss the sound. */
  readonly settled: Promise<void>;
  tracks(): Tracks;
  mediaMs(): number;
  /** Brings the given kinds, as far as the stream has them, to a router. */
  feed(lease: RouterLease, kinds: readonly types.MediaKind[]): Promise<Feed>;
}

export interface StreamOptions {
  readonly mediaMs: () => number;
  readonly onClose: () => void;
}

interface Input {
  readonly parameters: types.RtpParameters;
}

/** The stream on one router. */
interface Branch {
  readonly router: types.Router;
  readonly transport: Promise<types.DirectTransport>;
  /** Being made, or made; by the input that feeds it. */
  readonly making: Map<Input, Promise<types.Producer>>;
  readonly producers: Map<Input, types.Producer>;
  /** Set once there is a producer: for sender reports. */
  direct: types.DirectTransport | undefined;
  uses: number;
}

const SETTLE_MS = 1000;

export function createStream({ mediaMs, onClose }: StreamOptions): LiveStream {
  const inputs = new Map<types.MediaKind, Input>();
  const branches = new Map<string, Branch>();
  // Audio and video of one stream share it, so that players keep them in step (RFC 8834 section 4.9).
  const rtcp = { cname: randomBytes(8).toString('hex') };
  let profileLevelId: string | undefined;
  let closed = false;

  const settling = Promise.withResolvers<undefined>();
  const settleTimer = setTimeout(() => settling.resolve(undefined), SETTLE_MS);
  settleTimer.unref();
  function settle(): void {
    clearTimeout(settleTimer);
    settling.resolve(undefined);
  }

  function add(kind: types.MediaKind, parameters: types.RtpParameters): RtpInput {
    if (closed) throw new Error('the stream is closed');
    if (inputs.has(kind)) throw new TypeError(`the stream has ${kind} already`);
    const input: Input = { parameters: { ...parameters, rtcp } };
    inputs.set(kind, input);
    if (inputs.size === 2) settle();
    return {
      sendRtp(packet) {
        for (const { producers } of branches.values()) {
          const producer = producers.get(input);
          if (producer?.closed === false) producer.send(packet);
        }
      },
      sendRtcp(packet) {
        for (const { direct } of branches.values()) {
          if (direct?.closed === false) direct.sendRtcp(packet);
        }
      },
      close() {
        if (inputs.get(kind) !== input) return;
        inputs.delete(kind);
        for (const { producers } of branches.values()) producers.get(input)?.close();
      },
    };
  }

  async function make(branch: Branch, kind: types.MediaKind, input: Input): Promise<types.Producer> {
    const direct = await branch.transport;
    const producer = await direct.produce({ kind, rtpParameters: input.parameters });
    branch.direct = direct;
    branch.producers.set(input, producer);
    if (inputs.get(kind) !== input) producer.close(); // The input has been closed in the meantime.
    return producer;
  }

  async function produce(branch: Branch, kind: types.MediaKind): Promise<types.Producer | undefined> {
    const input = inputs.get(kind);
    if (input === undefined) return undefined;
    let making = branch.making.get(input);
    if (making === undefined) {
      making = make(branch, kind, input);
      branch.making.set(input, making);
    }
    try {
      return await making;
    } catch (error) {
      if (branch.making.get(input) === making) branch.making.delete(input);
      throw error;
    }
  }

  function shut({ transport }: Branch): void {
    transport.then(
      (direct) => direct.close(),
      () => undefined,
    );
  }

  return {
    isLive: () => !closed && inputs.size > 0,
    settled: settling.promise,
    tracks: () => ({
      profileLevelId: inputs.has('video') ? profileLevelId : undefined,
      hasAudio: inputs.has('audio'),
    }),
    mediaMs,
    async addVideo(parameters) {
      const profile = profileOf(parameters.profileLevelId);
      if (profile === undefined) {
        throw new TypeError(`profile-level-id ${parameters.profileLevelId} is of no known H.264 profile`);
      }
      const input = add('video', {
        codecs: [
          {
            mimeType: 'video/H264',
            clockRate: 90_000,
            payloadType: parameters.payloadType,
            parameters: { 'packetization-mode': 1, 'profile-level-id': CANONICAL[profile] },
          },
        ],
        encodings: [{ ssrc: parameters.ssrc }],
      });
      profileLevelId = parameters.profileLevelId;
      return input;
    },
    async addAudio({ ssrc, payloadType }) {
      return add('audio', {
        codecs: [{ mimeType: 'audio/opus', clockRate: 48_000, channels: 2, payloadType }],
        encodings: [{ ssrc }],
      });
    },
    async feed({ key, router }, kinds) {
      let branch = branches.get(key);
      if (branch?.router !== router) {
        branch = {
          router,
          transport: router.createDirectTransport(),
          making: new Map(),
          producers: new Map(),
          direct: undefined,
          uses: 0,
        };
        branches.set(key, branch);
      }
      const joined = branch;
      joined.uses += 1;
      let released = false;
      const release = (): void => {
        if (released) return;
        released = true;
        joined.uses -= 1;
        if (joined.uses > 0) return;
        if (branches.get(key) === joined) branches.delete(key);
        shut(joined);
      };
      try {
        const of = (kind: types.MediaKind): Promise<types.Producer | undefined> | undefined =>
          kinds.includes(kind) ? produce(joined, kind) : undefined;
        const [video, audio] = await Promise.all([of('video'), of('audio')]);
        return { video, audio, release };
      } catch (error) {
        release();
        throw error;
      }
    },
    close() {
      if (closed) return;
      closed = true;
      settle();
      inputs.clear();
      onClose();
      for (const branch of branches.values()) shut(branch);
      branches.clear();
    },
  };
}
