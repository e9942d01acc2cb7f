/** SRTP (RFC 3711, RFC 7714), usable by itself: `media-usher/srtp`. */
export type { SrtpMasterKey } from './packet-cipher.ts';
export {
  createSrtpReceiver,
  createSrtpSender,
  SrtpKeyExhausted,
  type SrtpOptions,
  type SrtpReceiver,
  type SrtpRejection,
  type SrtpSender,
} from './srtp.ts';
export { SRTP_SUITES, type SrtpSuite, type SrtpSuiteName } from './suites.ts';
