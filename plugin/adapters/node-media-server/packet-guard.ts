/**
 * Between a publisher's packets and the host's broadcast: what the host would keep without bounds, or take for what it
 * is not.
 */
import { FLV_AUDIO, FLV_VIDEO } from '../../rtp/index.ts';
import type { HostBroadcast, HostPacket } from './host.ts';
import { kindOfBody, type MediaKind } from './media-kind.ts';

export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** The host keeps all packets since the last keyframe, twice, up to 4,096 of them and of any size. */
const MAX_GROUP_BYTES = 32 * 1024 * 1024;
const FLAG_KEYFRAME = 3;
/** By these the host tells what to keep for viewers who come later. */
const FLAGS: Readonly<Partial<Record<MediaKind, number>>> = {
  'audio-head': 0,
  sound: 1,
  'video-head': 2,
  keyframe: FLAG_KEYFRAME,
  picture: 4,
};

export interface PacketGuard {
  /** @throws Error for a packet that claims more than it holds */
  take(this: void, packet: HostPacket): void;
  /** The publisher's own timestamp of the packet that is being taken: the host changes it when he has come back. */
  timeOf(this: void): number;
}

/**
 * The host takes enhanced video other than H.265, AV1 and VP9 for the configuration of the sound, its 4.0 and 4.1 that
 * of Opus for sound, and the end of an H.264 sequence for a keyframe.
 */
function correctFlags(packet: HostPacket): void {
  if (packet.codec_type !== FLV_AUDIO && packet.codec_type !== FLV_VIDEO) return;
  packet.flags = FLAGS[kindOfBody(packet.codec_type, packet.data, 0, packet.size)] ?? packet.flags;
}

export function createPacketGuard(broadcast: HostBroadcast): PacketGuard {
  let groupBytes = 0;
  let timeMs = 0;
  return {
    take(packet) {
      if (packet.size > packet.data.length) throw new Error('message changed its length midway');
      correctFlags(packet);
      groupBytes = packet.flags === FLAG_KEYFRAME ? packet.size : groupBytes + packet.size;
      if (groupBytes > MAX_GROUP_BYTES) {
        broadcast.flvGopCache?.clear();
        broadcast.rtmpGopCache?.clear();
        groupBytes = 0;
      }
      timeMs = packet.dts;
      broadcast.broadcastMessage(packet);
    },
    timeOf: () => timeMs,
  };
}
