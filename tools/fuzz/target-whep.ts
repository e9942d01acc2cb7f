/** What a WHEP client sends: offers and ICE fragments. */
import { parseFragment } from '../../plugin/adapters/whep/fragment.ts';
import { Denial } from '../../plugin/errors.ts';
import { parseOffer } from '../../plugin/media/offer.ts';
import type { FuzzTarget } from './target.ts';

export function createTarget(): FuzzTarget {
  return {
    take(input) {
      const text = input.toString('utf8');
      // Fragments begin with an attribute, offers with the version.
      if (text.startsWith('a=')) parseFragment(text);
      else parseOffer(text);
    },
    refusals: [Denial],
    seeds: [],
    folders: ['test/vectors/sdp'],
    words: [
      ...[
        '\r\n',
        '\n',
        'm=video 9 UDP/TLS/RTP/SAVPF 96\r\n',
        'm=audio 0 RTP/AVP\r\n',
        'a=mid:',
        'a=rtpmap:96 H264/90000\r\n',
      ],
      ...[
        'a=fmtp:96 ',
        'a=group:BUNDLE 0 0\r\n',
        'a=extmap:1 urn:x\r\n',
        'a=rtcp-fb:* nack\r\n',
        'a=setup:passive\r\n',
      ],
      ...[
        'a=ice-ufrag:',
        'a=candidate:',
        'a=fingerprint:sha-256 ',
        'a=recvonly\r\n',
        ';',
        '=',
        ' ',
        '\u0000',
        'é',
      ],
      ...['__proto__', 'constructor', 'a=ssrc:1 cname:x\r\n', 'a=simulcast:recv 1;2\r\n', 'a=rid:1 recv\r\n'],
    ],
  };
}
