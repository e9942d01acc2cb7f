/** Offers of real players, as they said them; `README.md` has the commands that recorded them. */
import { readFileSync } from 'node:fs';

const read = (name: string): string => readFileSync(new URL(`${name}.sdp`, import.meta.url), 'utf8');

export const RECORDED_OFFERS = {
  'Chromium 156': read('chromium-156'),
  'Chromium 156 that wants VP8': read('chromium-156-vp8'),
  'Firefox 153 without OpenH264': read('firefox-153'),
  'GStreamer 1.22': read('gstreamer-1.22'),
  'GStreamer 1.22 with H.264 parameters': read('gstreamer-1.22-h264'),
  'GStreamer 1.22, not bundled': read('gstreamer-1.22-unbundled'),
  /** Written by hand. */
  'Safari-like': read('safari-handmade'),
} as const;

export type Recorded = keyof typeof RECORDED_OFFERS;
