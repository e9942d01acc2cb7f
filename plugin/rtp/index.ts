export { parseAacConfig, type AacConfig } from './aac-config.ts';
export { parseAvcConfig, profileLevelIdOf, type AvcConfig, type NalLengthBytes } from './avc-config.ts';
export {
  FLV_AUDIO,
  FLV_HEADER_BYTES,
  FLV_SCRIPT,
  FLV_VIDEO,
  FRAME_COMMAND,
  isKeyframeType,
  MAX_COMPOSITION_MS,
  parseFlvTag,
  tagEndOf,
  type AccessUnit,
  type FlvTag,
} from './flv.ts';
export {
  audioCodecName,
  CODEC_AVC,
  FOURCC_AAC,
  FOURCC_AVC,
  FOURCC_HEVC,
  FOURCC_VVC,
  fourCcName,
  SOUND_AAC,
  SOUND_ENHANCED,
  videoCodecName,
} from './flv-codecs.ts';
export { FormatError, type MediaFormat } from './format-error.ts';
export {
  createH264Packetizer,
  H264_CLOCK_RATE,
  H264_MAX_PAYLOAD_BYTES,
  type H264Packetizer,
} from './h264.ts';
export { createOggReader, type OggPage, type OggReader } from './ogg.ts';
export {
  createOpusPacketizer,
  OPUS_CLOCK_RATE,
  opusPacketSamples,
  parseOpusHead,
  type OpusPacketizer,
} from './opus.ts';
export { createRtpWriter, type RtpWriter, type RtpWriterOptions } from './rtp-writer.ts';
export { buildSenderReport, type SenderReport } from './sender-report.ts';
