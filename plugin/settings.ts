/** Every USHER_* setting there is, so that a misspelt one is an error and not silently a default. */
export const ALL_SETTINGS: readonly string[] = [
  'USHER_PORT',
  'USHER_HOST',
  'USHER_PUBLIC_URL',
  'USHER_DATA',
  'USHER_TRUSTED_PROXIES',
  'USHER_COUNTRY_HEADER',
  'USHER_DRAIN_SECONDS',
  'USHER_INTROSPECTION',
  'USHER_TLS',
  'USHER_TLS_CERT',
  'USHER_TLS_KEY',
  'USHER_LOG_LEVEL',
  'USHER_DEMO',
  'USHER_DEMO_SERVER',
  'USHER_DEMO_ENCODER',
  'USHER_MASTER_KEY',
  'USHER_MASTER_KEY_OLD',
  'USHER_TEST_CARD_SECRET',
  'USHER_SMTP_URL',
  'USHER_MAIL_FROM',
  'USHER_NO_APT',
  'USHER_WORKER_ORIGIN',
  'USHER_MEDIA_PORT',
  'USHER_MEDIA_HOST',
  'USHER_MEDIA_PUBLIC_URL',
  'USHER_RTC_PORT',
  'USHER_WORKERS',
  'USHER_RTC_IP',
  'USHER_RTC_ANNOUNCED_ADDRESS',
  'USHER_ICE_SERVERS',
  'USHER_TURN_SECRET',
  'USHER_RTMP_PORT',
  'USHER_RTMPS_PORT',
  'USHER_NMS_HTTP_PORT',
  'USHER_NMS_HTTPS_PORT',
  'USHER_RTSP_PORT',
  'USHER_RTSPS_PORT',
  'USHER_RTSP_UDP',
  'USHER_RTSP_UDP_PORT',
  'USHER_RTSP_PUBLIC_URL',
  'USHER_FLV_PUBLIC_URL',
  'USHER_RTMP_PUBLIC_URL',
  'USHER_SERVER_ID',
  'USHER_ORDER_SERVER_URL',
  'USHER_MEDIA_DATA',
  'USHER_REPLAY_MEMORY',
  'USHER_RECEIPT_SECONDS',
  'USHER_SPOOL_MAX_BYTES',
  'USHER_SPOOL_FULL',
  'USHER_MEDIA_MASTER_KEY',
  'USHER_MEDIA_MASTER_KEY_OLD',
  'USHER_ENROLMENT_CODE',
  'USHER_FFMPEG',
  'USHER_REENCODE',
  'USHER_REENCODE_MAX_BITRATE',
];

/** Levenshtein's distance: how many characters must change to make one name of the other. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      current.push(
        Math.min(
          (previous[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1),
        ),
      );
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** Names farther off than this are not taken for misspellings. */
const MAX_DISTANCE = 4;

/**
 * Checks that each USHER_* variable is a setting.
 * @returns one line per variable that is not, with the setting that was probably meant; never its value.
 */
export function checkSettings(env: NodeJS.ProcessEnv, known: readonly string[] = ALL_SETTINGS): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith('USHER_') && !known.includes(name))
    .map((name) => {
      const nearest = known
        .map((candidate) => ({ candidate, distance: editDistance(name.slice(0, 100), candidate) }))
        .sort((a, b) => a.distance - b.distance)[0];
      return nearest !== undefined && nearest.distance <= MAX_DISTANCE
        ? `${name} is not a setting; did you mean ${nearest.candidate}?`
        : `${name} is not a setting`;
    });
}
