/**
 * Ids under which mediasoup writes the header extensions that a bandwidth estimate is made from. It writes them under no
 * others, and without an estimate it would send the best of several layers to a viewer whose network carries a lower one.
 */
const IDS = [
  ['http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time', '4'],
  ['http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01', '5'],
] as const;

const EXTENSION = /^a=extmap:(\d{1,3})((?:\/\S+)? )(\S+)/gm;

/**
 * An offer whose two extensions have the ids that the server knows. What had these ids gets theirs: in all of the offer
 * an id stands for one extension (RFC 8843 section 14).
 */
export function askForEstimates(sdp: string): string {
  return IDS.reduce((offer, [uri, wanted]) => {
    const found = [...offer.matchAll(EXTENSION)].find(([, , , name]) => name === uri);
    const id = found?.[1];
    if (id === undefined || id === wanted) return offer;
    return offer.replace(EXTENSION, (line, old: string, middle: string, name: string) => {
      if (old !== id && old !== wanted) return line;
      return `a=extmap:${old === id ? wanted : id}${middle}${name}`;
    });
  }, sdp);
}
