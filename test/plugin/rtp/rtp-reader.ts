/** An independent reader of RTP, RTCP sender reports and RFC 6184 payloads, for tests. */

export interface RtpPacket {
  readonly marker: boolean;
  readonly payloadType: number;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Buffer;
}

export function readRtp(packet: Buffer): RtpPacket {
  if (packet[0] !== 0x80) throw new Error('not a plain RTP packet');
  return {
    marker: (packet[1]! & 0x80) !== 0,
    payloadType: packet[1]! & 0x7f,
    sequence: packet.readUInt16BE(2),
    timestamp: packet.readUInt32BE(4),
    ssrc: packet.readUInt32BE(8),
    payload: packet.subarray(12),
  };
}

export interface Picture {
  readonly timestamp: number;
  readonly nals: Buffer[];
}

/** Puts access units together again: by timestamp and marker, with every sequence number in its place. */
export function depacketizeH264(packets: readonly RtpPacket[]): Picture[] {
  const pictures: Picture[] = [];
  let nals: Buffer[] = [];
  let fragments: Buffer[] | undefined;
  packets.forEach((packet, index) => {
    const before = packets[index - 1];
    if (before !== undefined && packet.sequence !== ((before.sequence + 1) & 0xffff)) {
      throw new Error('sequence number out of place');
    }
    if (before !== undefined && !before.marker && before.timestamp !== packet.timestamp) {
      throw new Error('timestamp changes inside an access unit');
    }
    const type = packet.payload[0]! & 0x1f;
    if (type >= 1 && type <= 23) {
      if (fragments !== undefined) throw new Error('NAL unit inside a fragmented one');
      nals.push(Buffer.from(packet.payload));
    } else if (type === 28) {
      const fu = packet.payload[1]!;
      if ((fu & 0x80) !== 0) {
        if (fragments !== undefined || (fu & 0x40) !== 0) throw new Error('bad start of a fragmented unit');
        fragments = [Buffer.from([(packet.payload[0]! & 0xe0) | (fu & 0x1f)])];
      }
      if (fragments === undefined) throw new Error('fragment without a start');
      fragments.push(Buffer.from(packet.payload.subarray(2)));
      if ((fu & 0x40) !== 0) {
        nals.push(Buffer.concat(fragments));
        fragments = undefined;
      }
    } else {
      throw new Error(`packet type ${type}`);
    }
    if (packet.marker) {
      if (fragments !== undefined) throw new Error('marker inside a fragmented unit');
      pictures.push({ timestamp: packet.timestamp, nals });
      nals = [];
    }
  });
  if (nals.length > 0 || fragments !== undefined) throw new Error('the last access unit has no marker');
  return pictures;
}

/** Annex B byte stream, as decoders read it from a file. */
export function annexB(pictures: readonly Picture[]): Buffer {
  const startCode = Buffer.from([0, 0, 0, 1]);
  return Buffer.concat(pictures.flatMap((picture) => picture.nals.flatMap((nal) => [startCode, nal])));
}

export interface ReadSenderReport {
  readonly ssrc: number;
  readonly ntpMs: number;
  readonly rtpTimestamp: number;
  readonly packets: number;
  readonly octets: number;
  readonly cname: string;
}

export function readSenderReport(packet: Buffer): ReadSenderReport {
  if (packet[0] !== 0x80 || packet[1] !== 200 || packet.readUInt16BE(2) !== 6) throw new Error('no SR');
  if (packet[28] !== 0x81 || packet[29] !== 202) throw new Error('no SDES');
  if (packet.length !== 28 + 4 + packet.readUInt16BE(30) * 4) throw new Error('SDES length');
  if (packet.readUInt32BE(32) !== packet.readUInt32BE(4) || packet[36] !== 1) throw new Error('no CNAME');
  return {
    ssrc: packet.readUInt32BE(4),
    ntpMs: (packet.readUInt32BE(8) - 2_208_988_800) * 1000 + (packet.readUInt32BE(12) / 2 ** 32) * 1000,
    rtpTimestamp: packet.readUInt32BE(16),
    packets: packet.readUInt32BE(20),
    octets: packet.readUInt32BE(24),
    cname: packet.toString('utf8', 38, 38 + packet[37]!),
  };
}
