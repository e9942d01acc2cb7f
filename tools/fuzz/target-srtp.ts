/** What comes to an SRTP receiver from the network, and what a source gives to a fan-out's header rewriting. */
import {
  createSrtpReceiver,
  createSrtpSender,
  SRTP_SUITES,
  type SrtpOptions,
  type SrtpSuiteName,
} from '../../plugin/srtp/index.ts';
import { createOutlet, COUNTERS_LENGTH } from '../../plugin/srtp/fan-out-outlet.ts';
import { rtpHeaderBytes } from '../../plugin/srtp/packet.ts';
import { must, type FuzzTarget } from './target.ts';

const SSRC = 0x1234_5678;
const PACKETS = 8;

function optionsOf(suite: SrtpSuiteName, mkiBytes: number): SrtpOptions {
  const { keyBytes, saltBytes } = SRTP_SUITES[suite];
  const master = { key: Buffer.alloc(keyBytes, 5), salt: Buffer.alloc(saltBytes, 6) };
  return { suite, master, mki: Buffer.alloc(mkiBytes, 7) };
}

const WAYS = (Object.keys(SRTP_SUITES) as SrtpSuiteName[]).flatMap((suite) =>
  [0, 4].map((mkiBytes) => optionsOf(suite, mkiBytes)),
);

function clearRtp(sequence: number): Buffer {
  const packet = Buffer.alloc(40 + sequence, sequence);
  packet.writeUInt16BE(sequence % 2 === 0 ? 0x8060 : 0x9160, 0);
  packet.writeUInt16BE(sequence, 2);
  packet.writeUInt32BE(SSRC, 8);
  // Of odd ones: a CSRC, and an extension of one word.
  if (sequence % 2 === 1) packet.set(Buffer.from('00000001bede000110aa0000', 'hex'), 12);
  return packet;
}

const CLEAR_RTCP = Buffer.from('80c8000612345678000000000000000000000000000000000000000081ca0001', 'hex');

export function createTarget(): FuzzTarget {
  const sealed = new Set<string>();
  const seeds: Buffer[] = [];
  const into = Buffer.alloc(4096);
  const keep = (bytes: number): void => {
    const packet = Buffer.from(into.subarray(0, bytes));
    seeds.push(packet);
    sealed.add(packet.toString('hex'));
  };
  for (const options of WAYS) {
    const sender = createSrtpSender(options);
    for (let sequence = 1; sequence <= PACKETS; sequence++) keep(sender.protectRtp(clearRtp(sequence), into));
    keep(sender.protectRtcp(CLEAR_RTCP, into));
  }
  const receivers = WAYS.map((options) => createSrtpReceiver(options));
  const [way] = WAYS;
  if (way === undefined) throw new Error('there is no suite');
  const outlet = createOutlet(
    way,
    { ssrc: 1, sequence: 0, payloadType: 96 },
    new Float64Array(COUNTERS_LENGTH),
  );
  const player = createSrtpReceiver(way);
  let index = 0;
  return {
    take(input) {
      for (const receiver of receivers) {
        for (const open of [receiver.unprotectRtp, receiver.unprotectRtcp]) {
          const opened = open(Buffer.from(input));
          must(
            typeof opened === 'string' || sealed.has(input.toString('hex')),
            'only what was sealed is opened',
          );
        }
      }
      const headerBytes = rtpHeaderBytes(input);
      if (headerBytes < 0) return;
      const room = Buffer.alloc(input.length + 200);
      index += 1;
      const start = input.readUInt16BE(0) & 0xff80;
      const bytes = outlet.protect({ packet: input, index, start, timestamp: 0 }, room);
      must(rtpHeaderBytes(room.subarray(0, bytes)) === headerBytes, 'the header stays as long as it was');
      const opened = player.unprotectRtp(room.subarray(0, bytes));
      must(typeof opened !== 'string' && opened.equals(input), 'what is sent is what is received');
    },
    refusals: [],
    seeds: [...seeds, clearRtp(1), clearRtp(2), CLEAR_RTCP],
    folders: [],
    words: ['\u00be\u00de', '\u0080\u00c8', '\u0090', '\u009f', '\u0080\u0000\u0000\u0001'],
  };
}
