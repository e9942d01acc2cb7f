/** SRTP (RFC 3711, RFC 7714) and its keys in SDP and RTSP, usable by itself: `media-usher/srtp`. */
export {
  createFanOut,
  type FanOut,
  type FanOutOptions,
  type FanOutStream,
  type Outlet,
  type OutletCounters,
  type OutletHandle,
  type OutletKey,
  type OutletRewrite,
  type PacketSink,
  type UdpPeer,
} from './fan-out.ts';
export {
  formatKeyMgmtAttribute,
  formatKeyMgmtHeader,
  parseKeyMgmtAttribute,
  parseKeyMgmtHeader,
  type KeyMgmt,
} from './key-mgmt.ts';
export { KeySyntaxError } from './key-syntax-error.ts';
export type { SrtpMasterKey } from './packet-cipher.ts';
export { formatSdes, parseSdes, type SdesCrypto } from './sdes.ts';
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
