/** Between a publisher's packets and the host's broadcast: what the host would keep without bounds. */
import type { HostBroadcast, HostPacket } from './host.ts';

export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** The host keeps all packets since the last keyframe, twice, up to 4,096 of them and of any size. */
const MAX_GROUP_BYTES = 32 * 1024 * 1024;
const FLAG_KEYFRAME = 3;

export interface PacketGuard {
  /** @throws Error for a packet that claims more than it holds */
  take(this: void, packet: HostPacket): void;
  /** The publisher's own timestamp of the packet that is being taken: the host changes it when he has come back. */
  timeOf(this: void): number;
}

export function createPacketGuard(broadcast: HostBroadcast): PacketGuard {
  let groupBytes = 0;
  let timeMs = 0;
  return {
    take(packet) {
      if (packet.size > packet.data.length) throw new Error('message changed its length midway');
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
