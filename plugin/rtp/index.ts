export {
  AAC_MAX_PAYLOAD_BYTES,
  createAacDepacketizer,
  createAacPacketizer,
  type AacDepacketizer,
  type AacPacketizer,
  type ReceivedUnit,
} from './aac.ts';
export { parseAacConfig, type AacConfig } from './aac-config.ts';
export { AV1_MAX_PAYLOAD_BYTES, createAv1Packetizer, type Av1Packetizer } from './av1.ts';
export { av1ProfileOf, parseAv1Config, readObus, type Av1Config } from './av1-obu.ts';
export { parseAvcConfig, profileLevelIdOf, type AvcConfig, type NalLengthBytes } from './avc-config.ts';
export { parseFlvTag, tagEndOf } from './flv.ts';
export {
  audioCodecName,
  CODEC_AVC,
  FOURCC_AAC,
  FOURCC_AVC,
  FOURCC_VP9,
  FOURCC_VP8,
  FOURCC_AV1,
  FOURCC_HEVC,
  FOURCC_OPUS,
  FOURCC_VVC,
  fourCcName,
  SOUND_AAC,
  SOUND_ENHANCED,
  videoCodecName,
} from './flv-codecs.ts';
export {
  AUDIO_PACKET_MULTICHANNEL_CONFIG,
  AUDIO_PACKET_MULTITRACK,
  findFirstTrack,
  MAX_OPUS_CHANNELS,
  PACKET_CODED_FRAMES,
  PACKET_MODIFIER,
  PACKET_SEQUENCE_END,
  PACKET_SEQUENCE_START,
  skipModifiers,
  VIDEO_PACKET_CODED_FRAMES_X,
  VIDEO_PACKET_MULTITRACK,
} from './flv-enhanced.ts';
export {
  FLV_AUDIO,
  FLV_HEADER_BYTES,
  FLV_SCRIPT,
  FLV_VIDEO,
  FRAME_COMMAND,
  isKeyframeType,
  MAX_COMPOSITION_MS,
  type AccessUnit,
  type CodedPicture,
  type EnhancedVideoCodec,
  type FlvTag,
} from './flv-tag.ts';
export { createFlvReader } from './flv-reader.ts';
export { FormatError, type MediaFormat } from './format-error.ts';
export {
  createH264Packetizer,
  H264_CLOCK_RATE,
  H264_MAX_PAYLOAD_BYTES,
  type H264Packetizer,
} from './h264.ts';
export { createDepacketizer, type Depacketizer, type ReceivedPicture } from './depacketizer.ts';
export { createIvfReader } from './ivf.ts';
export { payloadOf, startsKeyframe, type KeyframeCodec } from './keyframe.ts';
export { matroskaHeader, matroskaPicture, type MatroskaSoundTrack, type MatroskaTrack } from './matroska.ts';
export { createOggReader, type OggPage, type OggReader } from './ogg.ts';
export {
  createOpusPacketizer,
  OPUS_CLOCK_RATE,
  opusPacketSamples,
  parseOpusHead,
  type OpusHead,
  type OpusPacketizer,
} from './opus.ts';
export { heightsIn, type SizedCodec } from './picture-height.ts';
export { createReorderBuffer, type ReorderBuffer, type ReorderOptions } from './reorder.ts';
export { readSenderReport, saysBye, type ReadReport } from './rtcp-reader.ts';
export { createRtpWriter, type RtpWriter, type RtpWriterOptions } from './rtp-writer.ts';
export { buildSenderReport, type SenderReport } from './sender-report.ts';
export {
  createVp8Packetizer,
  isVp8Keyframe,
  VP8_CLOCK_RATE,
  VP8_MAX_PAYLOAD_BYTES,
  type Vp8Packetizer,
} from './vp8.ts';
export {
  createVp9Packetizer,
  isVp9Keyframe,
  VP9_CLOCK_RATE,
  VP9_MAX_PAYLOAD_BYTES,
  vp9ProfileOf,
  type Vp9Packetizer,
} from './vp9.ts';
