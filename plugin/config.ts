import { z } from 'zod';
import { iceServerUrlSchema, isTurnUrl } from './http/ice-servers.ts';
import { masterKeySchema } from './key-vault.ts';
import { enrolmentCodeSchema } from './registration.ts';
import { basePathOf, baseUrlSchema, type PublicUrls } from './public-urls.ts';
import { checkSettings } from './settings.ts';

const port = z.coerce.number().int().min(1).max(65_535);
const httpBase = baseUrlSchema(/^https?$/);
/** RTMP has no path but that of the stream. */
const rtmpBase = baseUrlSchema(/^rtmps?$/).refine((text) => basePathOf(text) === '', 'a URL without a path');
const rtspBase = baseUrlSchema(/^rtsps?$/).refine((text) => basePathOf(text) === '', 'a URL without a path');

const MAX_LIST = 8;
/** Names, addresses or URLs with commas between. */
const list = <T extends z.ZodType<unknown, string>>(item: T) =>
  z
    .string()
    .transform((text) => text.split(',').map((part) => part.trim()))
    .pipe(z.array(item).min(1).max(MAX_LIST));

/** Settings of the media server; every one has a default that works for the demo. */
const mediaSchema = z.object({
  /** Port of WHEP, health and metrics. */
  USHER_MEDIA_PORT: port.default(4001),
  /** Address that WHEP, RTMP and HTTP-FLV listen on. */
  USHER_MEDIA_HOST: z.string().min(1).default('127.0.0.1'),
  /** Base URL of the media server as viewers see it. */
  USHER_MEDIA_PUBLIC_URL: httpBase.optional(),
  /** The one port (UDP and TCP) of WebRTC; of several workers the first one's, the others have the next ones. */
  USHER_RTC_PORT: port.default(4002),
  /** mediasoup workers; each uses one core at most. */
  USHER_WORKERS: z.coerce.number().int().min(1).max(64).default(1),
  /** Addresses that WebRTC listens on, IPv4 and IPv6; viewers prefer the first. */
  USHER_RTC_IP: list(z.union([z.ipv4(), z.ipv6()])).default(['127.0.0.1']),
  /** What viewers are told instead (NAT): one for each of `USHER_RTC_IP`; an empty one stands for the address itself. */
  USHER_RTC_ANNOUNCED_ADDRESS: list(z.string().max(253)).optional(),
  /** STUN and TURN servers that admitted viewers are told of. */
  USHER_ICE_SERVERS: list(iceServerUrlSchema).default([]),
  /** What the TURN servers share with this one, for credentials that end by themselves. */
  USHER_TURN_SECRET: z.string().min(16).max(256).optional(),
  USHER_RTMP_PORT: port.default(1935),
  USHER_NMS_HTTP_PORT: port.default(8000),
  /** RTMPS and HTTPS of node-media-server: there when `USHER_TLS` is not off. */
  USHER_RTMPS_PORT: port.default(1936),
  USHER_NMS_HTTPS_PORT: port.default(8443),
  /** RTSP for players that are no browsers: keys of media go over it to this machine only. */
  USHER_RTSP_PORT: port.default(8554),
  /** RTSP with TLS: there when `USHER_TLS` is not off. */
  USHER_RTSPS_PORT: port.default(8322),
  /** Off: RTP goes over RTSP's connections only, as behind a TCP proxy, whose address is not the viewer's. */
  USHER_RTSP_UDP: z.enum(['on', 'off']).default('on'),
  /** RTP by UDP to RTSP viewers; RTCP has the next port. 0: any two that are free. */
  USHER_RTSP_UDP_PORT: z.coerce.number().int().min(0).max(65_534).default(8556),
  /** What viewers put before `/app/name`, where it is not host and port of the listener. */
  USHER_RTSP_PUBLIC_URL: rtspBase.optional(),
  /** What viewers put before `/app/name.flv` and before `/app/name`, where it is not host and port of the listeners. */
  USHER_FLV_PUBLIC_URL: httpBase.optional(),
  USHER_RTMP_PUBLIC_URL: rtmpBase.optional(),
  /** The id in a ticket's `aud`. */
  USHER_SERVER_ID: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/i)
    .default('demo'),
  /** Base URL of the order server: the one trusted issuer. */
  USHER_ORDER_SERVER_URL: httpBase.default('http://localhost:4000'),
  /** Directory of this server's keys and of receipts on their way. */
  USHER_MEDIA_DATA: z.string().min(1).default('.usher/media'),
  /** What this server's private keys are encrypted under in their file. */
  USHER_MEDIA_MASTER_KEY: masterKeySchema.optional(),
  /** The master key before that one, while changing over. */
  USHER_MEDIA_MASTER_KEY_OLD: masterKeySchema.optional(),
  /** One-time code from the order server's staff: enrols at the start, unless that has been done. */
  USHER_ENROLMENT_CODE: enrolmentCodeSchema.optional(),
  /**
   * Where used proofs are remembered: by each process for itself, or shared by the processes that use one data directory
   * (a local one) and stand behind one URL.
   */
  USHER_REPLAY_MEMORY: z.enum(['process', 'shared']).default('process'),
  /** Seconds between two receipts of a session; the order server takes 30 s without one for its end. */
  USHER_RECEIPT_SECONDS: z.coerce.number().int().min(1).max(15).default(5),
  /** The most that receipts may take on the disk before the order server has them; of one process. */
  USHER_SPOOL_MAX_BYTES: z.coerce
    .number()
    .int()
    .min(1024 * 1024)
    .max(1024 ** 4)
    .default(1024 ** 3),
  /** When receipts can no longer be kept on the disk, sessions end (and none begins), or go on. */
  USHER_SPOOL_FULL: z.enum(['end', 'continue']).default('end'),
  /** The ffmpeg to run. */
  USHER_FFMPEG: z.string().min(1).default('ffmpeg'),
  /** Whether video that WebRTC viewers cannot be shown is re-encoded for them, or refused. */
  USHER_REENCODE: z.enum(['auto', 'off']).default('auto'),
  /** The most bits a second that re-encoded video has; less where less is published. */
  USHER_REENCODE_MAX_BITRATE: z.coerce.number().int().min(100_000).max(100_000_000).default(8_000_000),
  /** How many reverse proxies in front of the servers set X-Forwarded-For. */
  USHER_TRUSTED_PROXIES: z.coerce.number().int().min(0).max(10).default(0),
  USHER_TLS: z.enum(['off', 'self-signed', 'files']).default('off'),
  USHER_TLS_CERT: z.string().optional(),
  USHER_TLS_KEY: z.string().optional(),
  USHER_LOG_LEVEL: z.enum(['silent', 'error', 'warn', 'info', 'debug']).default('info'),
  /** Where the mediasoup worker came from; set by the bootstrap. */
  USHER_WORKER_ORIGIN: z.enum(['env', 'built', 'prebuilt']).optional(),
});

export type MediaSettings = z.infer<typeof mediaSchema>;

/** An address that media leaves from. */
export interface RtcAddress {
  readonly ip: string;
  /** What viewers are told, where it is another one. */
  readonly announcedAddress?: string;
}

export interface MediaConfig extends MediaSettings {
  /** Base URL as viewers see it, without a trailing slash. */
  readonly publicUrl: string;
  /** Where WebRTC listens, in the order of preference. */
  readonly rtcAddresses: readonly RtcAddress[];
  /** Where node-media-server's listeners are for viewers. */
  readonly playUrls: PublicUrls;
  /** Where RTSP's listeners are for viewers. */
  readonly rtspUrls: { readonly rtsp: string; readonly rtsps: string | undefined };
}

/** A base that was given is that of the listener with TLS if there is one, unless its scheme says otherwise. */
function playUrlsOf(settings: MediaSettings, publicUrl: string): PublicUrls {
  const { USHER_FLV_PUBLIC_URL: flv, USHER_RTMP_PUBLIC_URL: rtmp } = settings;
  const { hostname } = new URL(publicUrl);
  const at = (scheme: keyof PublicUrls, port: number): string => `${scheme}://${hostname}:${String(port)}`;
  const plain: PublicUrls = {
    http: at('http', settings.USHER_NMS_HTTP_PORT),
    rtmp: at('rtmp', settings.USHER_RTMP_PORT),
  };
  if (settings.USHER_TLS === 'off') return { http: flv ?? plain.http, rtmp: rtmp ?? plain.rtmp };
  return {
    ...plain,
    https: at('https', settings.USHER_NMS_HTTPS_PORT),
    rtmps: at('rtmps', settings.USHER_RTMPS_PORT),
    ...(flv === undefined ? {} : { [new URL(flv).protocol.slice(0, -1)]: flv }),
    ...(rtmp === undefined ? {} : { [new URL(rtmp).protocol.slice(0, -1)]: rtmp }),
  };
}

/** As `playUrlsOf`. */
function rtspUrlsOf(settings: MediaSettings, publicUrl: string): MediaConfig['rtspUrls'] {
  const { USHER_RTSP_PUBLIC_URL: given, USHER_TLS: tls } = settings;
  const { hostname } = new URL(publicUrl);
  const at = (scheme: string, port: number): string => `${scheme}://${hostname}:${String(port)}`;
  const rtsp = at('rtsp', settings.USHER_RTSP_PORT);
  if (tls === 'off') return { rtsp: given ?? rtsp, rtsps: undefined };
  const urls = { rtsp, rtsps: at('rtsps', settings.USHER_RTSPS_PORT) };
  return given === undefined ? urls : { ...urls, [new URL(given).protocol.slice(0, -1)]: given };
}

/** Pairs addresses with what is announced for them. */
function rtcAddressesOf(settings: MediaSettings): RtcAddress[] {
  const announced = settings.USHER_RTC_ANNOUNCED_ADDRESS ?? [];
  return settings.USHER_RTC_IP.map((ip, index) => {
    const announcedAddress = announced[index] ?? '';
    return announcedAddress === '' ? { ip } : { ip, announcedAddress };
  });
}

/** What no single setting shows. One line each. */
function contradictions(settings: MediaSettings): string[] {
  const { USHER_RTC_IP: ips, USHER_RTC_ANNOUNCED_ADDRESS: announced, USHER_ICE_SERVERS: urls } = settings;
  const lines: string[] = [];
  if (announced !== undefined && announced.length !== ips.length)
    lines.push('USHER_RTC_ANNOUNCED_ADDRESS: as many as USHER_RTC_IP has, with commas between');
  for (const { ip, announcedAddress } of rtcAddressesOf(settings)) {
    if (['0.0.0.0', '::'].includes(ip) && announcedAddress === undefined)
      lines.push(`USHER_RTC_ANNOUNCED_ADDRESS: needed for ${ip}, which is no address that viewers can reach`);
  }
  const lastPort = settings.USHER_RTC_PORT + settings.USHER_WORKERS - 1;
  if (lastPort > 65_535) lines.push('USHER_RTC_PORT: too high for as many ports as USHER_WORKERS');
  const hasTurn = urls.some(isTurnUrl);
  const hasSecret = settings.USHER_TURN_SECRET !== undefined;
  if (hasTurn && !hasSecret) lines.push('USHER_TURN_SECRET: TURN in USHER_ICE_SERVERS needs it');
  if (hasSecret && !hasTurn) lines.push('USHER_ICE_SERVERS: USHER_TURN_SECRET needs a turn: URL in it');
  return lines;
}

/**
 * Reads the media server's settings.
 * @throws TypeError with one line per setting that is wrong
 */
export function readMediaConfig(env: NodeJS.ProcessEnv): MediaConfig {
  const parsed = mediaSchema.safeParse(env);
  const lines = [
    ...checkSettings(env),
    ...(parsed.error?.issues ?? []).map((issue) => `${String(issue.path[0])}: ${issue.message}`),
    ...(parsed.success ? contradictions(parsed.data) : []),
  ];
  if (!parsed.success || lines.length > 0) throw new TypeError(lines.join('\n'));
  const settings = parsed.data;
  const scheme = settings.USHER_TLS === 'off' ? 'http' : 'https';
  const publicUrl =
    settings.USHER_MEDIA_PUBLIC_URL ?? `${scheme}://localhost:${String(settings.USHER_MEDIA_PORT)}`;
  return {
    ...settings,
    publicUrl,
    rtcAddresses: rtcAddressesOf(settings),
    playUrls: playUrlsOf(settings, publicUrl),
    rtspUrls: rtspUrlsOf(settings, publicUrl),
  };
}
