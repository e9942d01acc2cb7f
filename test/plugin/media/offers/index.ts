/**
 * Offers. `chromium.sdp` is what Chromium 156 (Debian's build) said to
 * `addTransceiver('video', recvonly); addTransceiver('audio', recvonly); createOffer()`. The two others are written by
 * hand after the habits of Firefox (fingerprint at the session level, audio first, numeric ufrag) and Safari
 * (constrained high profile, named mids, a data channel); no browser made them.
 */
import { readFileSync } from 'node:fs';

const read = (name: string): string => readFileSync(new URL(`${name}.sdp`, import.meta.url), 'utf8');

export const OFFERS = {
  chromium: read('chromium'),
  firefoxLike: read('firefox-like'),
  safariLike: read('safari-like'),
};
