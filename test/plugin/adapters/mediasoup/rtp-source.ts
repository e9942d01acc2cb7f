/** ffmpeg as a source of RTP: H.264 and Opus to two UDP sockets, and from there to the stage. */
import { spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { RtpInput, StageEntrance } from '../../../../plugin/ports.ts';

const VIDEO = { ssrc: 0x1111, payloadType: 96 };
const AUDIO = { ssrc: 0x2222, payloadType: 97 };

async function listen(): Promise<{ socket: Socket; port: number }> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 }).bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return { socket, port: socket.address().port };
}

function forward(socket: Socket, input: RtpInput): void {
  // RFC 5761 section 4: with the marker bit, RTCP's packet types are 192 to 223.
  socket.on('message', (packet) => {
    const isRtcp = (packet[1] ?? 0) >= 192 && (packet[1] ?? 0) <= 223;
    if (isRtcp) input.sendRtcp(packet);
    else input.sendRtp(packet);
  });
}

export interface SourceOptions {
  readonly video?: {
    readonly profile: string;
    readonly profileLevelId: string;
    readonly args?: readonly string[];
  };
  readonly audio?: boolean;
}

export interface Source {
  /** Ends the broadcast: encoder, sockets and stream. Idempotent. */
  stop(): Promise<void>;
}

/** Puts a test picture (640x360, a key frame every 10 frames) and a 1,000 Hz tone on the stage. */
export async function startSource(
  stage: StageEntrance,
  path: string,
  options: SourceOptions,
): Promise<Source> {
  const startedMs = performance.now();
  const stream = stage.openStream(path, () => Math.round(performance.now() - startedMs));
  const video = await listen();
  const audio = await listen();
  if (options.video) {
    const codec = { name: 'H264', profileLevelId: options.video.profileLevelId } as const;
    forward(video.socket, await stream.addVideo({ ...VIDEO, codec }));
  }
  if (options.audio) forward(audio.socket, await stream.addAudio(AUDIO));
  const inputs = ['-re', '-f', 'lavfi', '-i', 'testsrc=size=640x360:rate=25'].concat(
    '-re',
    '-f',
    'lavfi',
    '-i',
    'sine=frequency=1000:sample_rate=48000',
  );
  const to = (target: { port: number }, { ssrc, payloadType }: typeof VIDEO): string[] => [
    ...['-f', 'rtp', '-ssrc', String(ssrc), '-payload_type', String(payloadType)],
    `rtp://127.0.0.1:${target.port}?rtcpport=${target.port}&pkt_size=1200`,
  ];
  const videoArgs = options.video
    ? [
        ...['-map', '0:v', '-c:v', 'libx264', '-profile:v', options.video.profile, '-preset', 'ultrafast'],
        ...['-tune', 'zerolatency', '-bf', '0', '-g', '10', '-pix_fmt', 'yuv420p'],
        ...['-bsf:v', 'dump_extra'],
        ...(options.video.args ?? []),
        ...to(video, VIDEO),
      ]
    : [];
  const audioArgs = options.audio ? ['-map', '1:a', '-c:a', 'libopus', '-ac', '2', ...to(audio, AUDIO)] : [];
  const ffmpeg = spawn(
    'ffmpeg',
    ['-hide_banner', '-loglevel', 'error', ...inputs, ...videoArgs, ...audioArgs],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  let stopped: Promise<void> | undefined;
  async function stop(): Promise<void> {
    const exited = once(ffmpeg, 'exit');
    if (ffmpeg.kill('SIGKILL')) await exited;
    video.socket.close();
    audio.socket.close();
    stream.close();
  }
  return { stop: () => (stopped ??= stop()) };
}
