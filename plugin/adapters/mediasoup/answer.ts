/** The SDP answer of one viewing (RFC 9429 section 5.3.1, draft-ietf-wish-whep). */
import { randomInt } from 'node:crypto';
import type { types } from 'mediasoup';
import type { Offer, OfferMedia } from '../../media/offer.ts';
import type { Chosen } from './match.ts';

export interface Sent {
  readonly chosen: Chosen;
  readonly consumer: types.Consumer;
}

const line = (name: string, value: string | undefined): string[] =>
  value === undefined || value === '' ? [] : [`a=${name}:${value}`];

function transportLines(transport: types.WebRtcTransport): string[] {
  const { usernameFragment, password } = transport.iceParameters;
  const fingerprint = transport.dtlsParameters.fingerprints.find(({ algorithm }) => algorithm === 'sha-256');
  return [
    `a=ice-ufrag:${usernameFragment}`,
    `a=ice-pwd:${password}`,
    ...line('fingerprint', fingerprint && `sha-256 ${fingerprint.value}`),
    'a=setup:passive',
  ];
}

/** RFC 8839 section 5.1, RFC 6544 section 4.5. */
function candidateLines(transport: types.WebRtcTransport): string[] {
  const candidates = transport.iceCandidates.map((candidate) => {
    const { foundation, protocol, priority, address, port, type, tcpType } = candidate;
    const suffix = tcpType === undefined ? '' : ` tcptype ${tcpType}`;
    return `a=candidate:${foundation} 1 ${protocol} ${priority} ${address} ${port} typ ${type}${suffix}`;
  });
  return [...candidates, 'a=end-of-candidates'];
}

/** Rejected: nothing is sent here (RFC 8829 section 5.3.1). */
function rejectedSection({ mid, line: { media, protocol, formats } }: OfferMedia): string[] {
  return [`m=${media} 0 ${protocol} ${formats}`, 'c=IN IP4 0.0.0.0', `a=mid:${mid}`, 'a=inactive'];
}

function sentSection(
  { chosen, consumer }: Sent,
  transport: types.WebRtcTransport,
  tagged: boolean,
): string[] {
  const { section, codec } = chosen;
  const { codecs, headerExtensions, encodings, rtcp } = consumer.rtpParameters;
  const channels = codec.channels === 1 ? '' : `/${codec.channels}`;
  const payloadType = codec.payloadType;
  // One stream id for audio and video: the browser plays them in step.
  const msid = `${rtcp?.cname ?? '-'} ${consumer.id}`;
  return [
    `m=${section.kind} 9 ${section.line.protocol} ${payloadType}`,
    'c=IN IP4 0.0.0.0',
    'a=rtcp:9 IN IP4 0.0.0.0',
    `a=mid:${section.mid}`,
    'a=sendonly',
    ...transportLines(transport),
    // RFC 9143 section 7.1.3: only the bundle's tagged section carries candidates.
    ...(tagged ? candidateLines(transport) : []),
    'a=rtcp-mux',
    'a=rtcp-mux-only',
    'a=rtcp-rsize',
    // mediasoup's ids are fixed: what is left here matched by URI and id.
    ...(headerExtensions ?? []).map(({ id, uri }) => `a=extmap:${id} ${uri}`),
    `a=rtpmap:${payloadType} ${codec.name}/${codec.clockRate}${channels}`,
    ...(codec.format === '' ? [] : [`a=fmtp:${payloadType} ${codec.format}`]),
    ...(codecs[0]?.rtcpFeedback ?? []).map(({ type, parameter }) =>
      `a=rtcp-fb:${payloadType} ${type} ${parameter ?? ''}`.trimEnd(),
    ),
    `a=msid:${msid}`,
    ...(encodings ?? []).flatMap(({ ssrc }) => [
      `a=ssrc:${ssrc} cname:${rtcp?.cname ?? '-'}`,
      `a=ssrc:${ssrc} msid:${msid}`,
    ]),
  ];
}

/** Writes the answer; sections keep the offer's order and mids. */
export function writeAnswer(offer: Offer, sent: readonly Sent[], transport: types.WebRtcTransport): string {
  const of = (section: OfferMedia): Sent | undefined => sent.find(({ chosen }) => chosen.section === section);
  const accepted = offer.media.filter((section) => of(section) !== undefined);
  const lines = [
    'v=0',
    `o=- ${randomInt(2 ** 47)} 1 IN IP4 127.0.0.1`,
    's=-',
    't=0 0',
    `a=group:BUNDLE ${accepted.map(({ mid }) => mid).join(' ')}`,
    'a=msid-semantic: WMS *',
    'a=ice-lite',
    ...offer.media.flatMap((section) => {
      const media = of(section);
      return media === undefined
        ? rejectedSection(section)
        : sentSection(media, transport, section === accepted[0]);
    }),
  ];
  return `${lines.join('\r\n')}\r\n`;
}
