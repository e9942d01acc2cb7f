/**
 * One live stream. Its RTP is made in this process and enters each router that has viewers of it through a
 * DirectTransport there.
 *
 * Not through one router and `pipeToRouter`: pipes carry packets over a UDP socket that the worker empties by 32
 * packets a turn, and the burst of a large key frame overflows it. Tried with the socket buffer that Linux grants by
 * default (208 KiB) and 1080p at 20 Mbit/s: 1,092 packets were lost before 15 frames were seen, 94 with RTX on the
 * pipe. This way it is none. (Producers of an app, whose packets are in a worker already and come as they come from the
 * network, may go by pipe: see direct.ts.)
 */
import { randomBytes } from 'node:crypto';
import type { types } from 'mediasoup';
import type { EndReason } from '../../contract.ts';
import type { RtpInput, StageStream, VideoParameters } from '../../ports.ts';
import { learnHeight, openLink, type Direct, type Link } from './direct.ts';
import {
  createAacInput,
  createAudioInput,
  createVideoInput,
  type AacInput,
  type Input,
  type VideoInput,
  type WatchedInput,
} from './inputs.ts';
import type { Layer } from './layers.ts';
import type { Tracks } from './match.ts';
import { keyframeRequests } from './rtcp.ts';
import type { RouterLease } from './routers.ts';

/** The stream's producers on one router, for one viewer. */
export interface Feed {
  readonly video: types.Producer | undefined;
  readonly audio: types.Producer | undefined;
  /** What is known of the layers of the two, now. */
  readonly layers: { video(): readonly Layer[]; audio(): readonly Layer[] };
  /** Idempotent; when the last viewer on this router leaves, the stream leaves it too. */
  release(): void;
}

export interface LiveStream extends StageStream {
  /** @param direct what the input is taken from where that need not come by this process */
  addVideo(parameters: VideoParameters, direct?: Direct): Promise<RtpInput>;
  addAudio(parameters: { ssrc: number; payloadType: number }, direct?: Direct): Promise<RtpInput>;
  /** True while there is anything to play. */
  isLive(): boolean;
  /** Resolves when both kinds are there, or the stream is a second old: a first viewer should not miss the sound. */
  readonly settled: Promise<void>;
  tracks(): Tracks<VideoInput>;
  mediaMs(): number;
  /** To be called about once a second: what tiers limit is measured. */
  measure(nowMs: number): void;
  /** From now on the height of the pictures is known; resolves when it is, or does not become so within a second. */
  knowHeights(): Promise<void>;
  /** Brings a rendition of the video and the audio, as far as they are asked for and there, to a router. */
  feed(
    lease: RouterLease,
    wanted: { readonly video: VideoInput | undefined; readonly audio: boolean },
  ): Promise<Feed>;
  /** What can be heard without a router. */
  inputs(): StreamInputs;
  /** @param reason what its viewings go with; default `source_ended` */
  close(reason?: EndReason): void;
}

export interface StreamInputs {
  readonly video: readonly VideoInput[];
  readonly audio: Input | undefined;
  /** The same sound as it was published. */
  readonly aac: AacInput | undefined;
  /** Counts the viewers of a rendition. */
  readonly watch: (input: WatchedInput, change: 1 | -1) => void;
}

export interface StreamOptions {
  readonly mediaMs: () => number;
  readonly onClose: (reason: EndReason) => void;
}

/** The stream on one router. */
interface Branch {
  readonly transport: Promise<types.DirectTransport>;
  /** Being made, or made; by the input that feeds it. */
  readonly making: Map<Input, Promise<types.Producer>>;
  readonly producers: Map<Input, types.Producer>;
  /** Of inputs that do not come by this process. */
  readonly links: Set<Link>;
  /** Set once there is a producer: for sender reports. */
  direct: types.DirectTransport | undefined;
  uses: number;
}

const SETTLE_MS = 1000;

export function createStream({ mediaMs, onClose }: StreamOptions): LiveStream {
  let video: readonly VideoInput[] = [];
  let audio: Input | undefined;
  let aac: AacInput | undefined;
  let videoRefusal: string | null = null;
  const branches = new Map<types.Router, Branch>();
  // Audio and video of one stream share it, so that players keep them in step (RFC 8834 section 4.9).
  const cname = randomBytes(8).toString('hex');
  let closed = false;
  const heights = new Map<VideoInput, Promise<void>>();

  const settling = Promise.withResolvers<undefined>();
  const settleTimer = setTimeout(() => settling.resolve(undefined), SETTLE_MS);
  settleTimer.unref();
  function settle(): void {
    clearTimeout(settleTimer);
    settling.resolve(undefined);
  }

  function settleIfWhole(): void {
    if (audio !== undefined && (video.length > 0 || videoRefusal !== null)) settle();
  }

  function open(input: Input): RtpInput {
    settleIfWhole();
    return {
      sendRtp(packet) {
        input.meter.take(packet);
        for (const { producers } of input.direct === undefined ? branches.values() : []) {
          const producer = producers.get(input);
          if (producer?.closed === false) producer.send(packet);
        }
        for (const listener of input.listeners) listener.rtp(packet);
      },
      sendRtcp(packet) {
        for (const { direct, producers } of branches.values()) {
          if (direct?.closed === false && producers.has(input)) direct.sendRtcp(packet);
        }
        for (const listener of input.listeners) listener.rtcp(packet);
      },
      close() {
        if (input.closed) return;
        input.closed = true;
        video = video.filter((other) => other !== input);
        if (audio === input) audio = undefined;
        if (aac === input) aac = undefined;
        for (const { producers } of branches.values()) producers.get(input)?.close();
        for (const listener of [...input.listeners]) listener.ended();
      },
    };
  }

  function requireOpen(): void {
    if (closed) throw new Error('the stream is closed');
  }

  async function inject(branch: Branch, { kind, parameters }: Input): Promise<types.Producer> {
    const direct = await branch.transport;
    const producer = await direct.produce({ kind, rtpParameters: parameters });
    if (branch.direct === undefined) direct.on('rtcp', passKeyframeRequests);
    branch.direct = direct;
    return producer;
  }

  async function link(
    branch: Branch,
    router: types.Router,
    { parameters }: Input,
    { origin }: Direct,
  ): Promise<types.Producer> {
    const opened = await openLink(origin, router, parameters);
    if (branch.uses === 0) opened.close(); // Who it was for has left in the meantime.
    branch.links.add(opened);
    return opened.producer;
  }

  async function make(branch: Branch, router: types.Router, input: Input): Promise<types.Producer> {
    const { direct } = input;
    const isGone = (): boolean => direct?.origin.producer.closed === true;
    const producer = await (direct === undefined || isGone()
      ? inject(branch, input)
      : link(branch, router, input, direct).catch((error: unknown) => {
          if (isGone()) return inject(branch, input); // It waits for others, as those who came before.
          throw error;
        }));
    branch.producers.set(input, producer);
    if (input.closed) producer.close(); // The input has been closed in the meantime.
    return producer;
  }

  /** What the worker sends towards the source. */
  function passKeyframeRequests(packet: Buffer): void {
    const ssrcs = keyframeRequests(packet);
    for (const { parameters, closed: ended, onKeyframeRequest } of video) {
      if (ended || onKeyframeRequest === undefined) continue;
      for (const { ssrc } of parameters.encodings ?? []) {
        if (ssrc !== undefined && ssrcs.includes(ssrc)) onKeyframeRequest(ssrc);
      }
    }
  }

  async function produce(
    branch: Branch,
    router: types.Router,
    input: Input | undefined,
  ): Promise<types.Producer | undefined> {
    if (input === undefined || input.closed) return undefined;
    let making = branch.making.get(input);
    if (making === undefined) {
      making = make(branch, router, input);
      branch.making.set(input, making);
    }
    try {
      return await making;
    } catch (error) {
      if (branch.making.get(input) === making) branch.making.delete(input);
      throw error;
    }
  }

  /** Counts the viewers of a rendition. */
  function watch(input: WatchedInput | undefined, change: 1 | -1): void {
    if (input === undefined) return;
    const before = input.viewers;
    input.viewers += change;
    if (before === 0 || input.viewers === 0) input.onWatched(input.viewers > 0);
  }

  function shut({ transport, links }: Branch): void {
    for (const { close } of links) close();
    transport.then(
      (direct) => direct.close(),
      () => undefined,
    );
  }

  return {
    isLive: () => !closed && (video.length > 0 || audio !== undefined || videoRefusal !== null),
    settled: settling.promise,
    tracks: () => ({ video, videoRefusal, hasAudio: audio !== undefined }),
    mediaMs,
    measure(nowMs) {
      for (const { meter } of video) meter.measure(nowMs);
      audio?.meter.measure(nowMs);
    },
    async addVideo(parameters, direct) {
      requireOpen();
      const input = createVideoInput(parameters, cname, direct);
      video = [...video, input];
      return open(input);
    },
    async addAudio(parameters, direct) {
      requireOpen();
      if (audio !== undefined) throw new TypeError('the stream has audio already');
      audio = createAudioInput(parameters, cname, direct);
      return open(audio);
    },
    async addAac(parameters) {
      requireOpen();
      aac = createAacInput(parameters, cname);
      return open(aac);
    },
    refuseVideo(reason) {
      videoRefusal = reason;
      settleIfWhole();
    },
    async feed({ router }, wanted) {
      let branch = branches.get(router);
      if (branch === undefined) {
        branch = {
          transport: router.createDirectTransport(),
          making: new Map(),
          producers: new Map(),
          links: new Set(),
          direct: undefined,
          uses: 0,
        };
        branches.set(router, branch);
      }
      const joined = branch;
      joined.uses += 1;
      watch(wanted.video, 1);
      let released = false;
      const release = (): void => {
        if (released) return;
        released = true;
        watch(wanted.video, -1);
        joined.uses -= 1;
        if (joined.uses > 0) return;
        if (branches.get(router) === joined) branches.delete(router);
        shut(joined);
      };
      try {
        const [picture, sound] = await Promise.all([
          produce(joined, router, wanted.video),
          wanted.audio ? produce(joined, router, audio) : undefined,
        ]);
        const layers = {
          video: () => wanted.video?.meter.layers() ?? [],
          audio: () => (wanted.audio ? (audio?.meter.layers() ?? []) : []),
        };
        return { video: picture, audio: sound, layers, release };
      } catch (error) {
        release();
        throw error;
      }
    },
    async knowHeights() {
      for (const input of video) {
        const { direct, codec, meter } = input;
        if (direct === undefined || codec.name === 'AV1' || heights.has(input)) continue;
        heights.set(input, learnHeight(direct, meter));
      }
      await Promise.all(heights.values());
    },
    inputs: () => ({ video, audio, aac, watch }),
    close(reason = 'source_ended') {
      if (closed) return;
      closed = true;
      settle();
      const inputs = [...video, audio, aac].filter((input) => input !== undefined);
      for (const input of inputs) input.closed = true;
      for (const listener of inputs.flatMap(({ listeners }) => [...listeners])) listener.ended();
      video = [];
      audio = aac = undefined;
      onClose(reason);
      for (const branch of branches.values()) shut(branch);
      branches.clear();
    },
  };
}
