import { z } from 'zod';
import { masterKeySchema } from './key-vault.ts';
import { enrolmentCodeSchema } from './registration.ts';
import type { PublicUrls } from './public-urls.ts';
import { checkSettings } from './settings.ts';

const port = z.coerce.number().int().min(1).max(65_535);
const origin = z.url({ protocol: /^https?$/ }).transform((text) => text.replace(/\/$/, ''));
/** What a stream path is put behind. */
const base = (protocol: RegExp) =>
  z
    .url({ protocol })
    .refine((text) => !/[?#@]|:\/\/[^/]*\/./.test(text), 'a URL without path, query, fragment and user')
    .transform((text) => text.replace(/\/$/, ''));

/** Settings of the media server; every one has a default that works for the demo. */
const mediaSchema = z.object({
  /** Port of WHEP, health and metrics. */
  USHER_MEDIA_PORT: port.default(4001),
  /** Address that WHEP, RTMP and HTTP-FLV listen on. */
  USHER_MEDIA_HOST: z.string().min(1).default('127.0.0.1'),
  /** Base URL of the media server as viewers see it. */
  USHER_MEDIA_PUBLIC_URL: origin.optional(),
  /** The one port (UDP and TCP) of WebRTC. */
  USHER_RTC_PORT: port.default(4002),
  /** Address that WebRTC listens on. */
  USHER_RTC_IP: z.union([z.ipv4(), z.ipv6()]).default('127.0.0.1'),
  /** Address that viewers are told, where it is another one (NAT). */
  USHER_RTC_ANNOUNCED_ADDRESS: z.string().min(1).max(253).optional(),
  USHER_RTMP_PORT: port.default(1935),
  USHER_NMS_HTTP_PORT: port.default(8000),
  /** RTMPS and HTTPS of node-media-server: there when `USHER_TLS` is not off. */
  USHER_RTMPS_PORT: port.default(1936),
  USHER_NMS_HTTPS_PORT: port.default(8443),
  /** What viewers put before `/app/name.flv` and before `/app/name`, where it is not host and port of the listeners. */
  USHER_FLV_PUBLIC_URL: base(/^https?$/).optional(),
  USHER_RTMP_PUBLIC_URL: base(/^rtmps?$/).optional(),
  /** The id in a ticket's `aud`. */
  USHER_SERVER_ID: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/i)
    .default('demo'),
  /** Base URL of the order server: the one trusted issuer. */
  USHER_ORDER_SERVER_URL: origin.default('http://localhost:4000'),
  /** Directory of this server's keys. */
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
  /** The ffmpeg to run. */
  USHER_FFMPEG: z.string().min(1).default('ffmpeg'),
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

export interface MediaConfig extends MediaSettings {
  /** Base URL as viewers see it, without a trailing slash. */
  readonly publicUrl: string;
  /** Where node-media-server's listeners are for viewers. */
  readonly playUrls: PublicUrls;
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

/**
 * Reads the media server's settings.
 * @throws TypeError with one line per setting that is wrong
 */
export function readMediaConfig(env: NodeJS.ProcessEnv): MediaConfig {
  const parsed = mediaSchema.safeParse(env);
  const lines = [
    ...checkSettings(env),
    ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join('.')}: ${issue.message}`),
  ];
  if (!parsed.success || lines.length > 0) throw new TypeError(lines.join('\n'));
  const settings = parsed.data;
  const scheme = settings.USHER_TLS === 'off' ? 'http' : 'https';
  const publicUrl =
    settings.USHER_MEDIA_PUBLIC_URL ?? `${scheme}://localhost:${String(settings.USHER_MEDIA_PORT)}`;
  return { ...settings, publicUrl, playUrls: playUrlsOf(settings, publicUrl) };
}
