import type { Title } from '../api.ts';
import { h, svg } from '../dom.ts';

/** The picture of a title: its artwork, or one that is drawn. */
export function artwork({ artworkUrl, path }: Pick<Title, 'artworkUrl' | 'path'>): Element {
  return artworkUrl === null
    ? poster(path)
    : h('img', { src: artworkUrl, alt: '', class: 'poster', loading: 'lazy', referrerpolicy: 'no-referrer' });
}

/**
 * A picture for a title that has none: drawn from its stream path, so that it is always the same one. Colours come
 * from the style sheet by hue, so that both colour schemes suit it.
 */
function poster(path: string): SVGElement {
  const random = generator(path);
  const id = `poster-${hash(path).toString(36)}-${(serial++).toString(36)}`;
  const hue = Math.floor(random() * 360);
  const gradient = svg(
    'linearGradient',
    { id, x1: 0, y1: 0, x2: 1, y2: 1 },
    svg('stop', { offset: 0, class: 'poster-from' }),
    svg('stop', { offset: 1, class: 'poster-to' }),
  );
  const [x, y] = [90 + random() * 140, 40 + random() * 90];
  const rings = Array.from({ length: 9 }, (_, index) =>
    svg('circle', { cx: x, cy: y, r: 14 + index * (15 + random() * 5), class: 'poster-ring' }),
  );
  const horizon = 118 + random() * 30;
  const hills = [0, 1, 2].map((layer) => {
    const base = horizon + layer * 18;
    const [a, b, c] = [random() * 26, random() * 26, random() * 26];
    const d = `M0 ${base - a} C 70 ${base - b - 22}, 130 ${base + c}, 190 ${base - a / 2} S 290 ${base - c - 14}, 320 ${base - b} V180 H0z`;
    return svg('path', { d, class: 'poster-hill', 'fill-opacity': 0.22 + layer * 0.14 });
  });
  const picture = svg(
    'svg',
    { viewBox: '0 0 320 180', preserveAspectRatio: 'xMidYMid slice', class: 'poster', 'aria-hidden': 'true' },
    gradient,
    svg('rect', { width: 320, height: 180, fill: `url(#${id})` }),
    ...rings,
    svg('circle', { cx: x, cy: y, r: 13, class: 'poster-sun' }),
    ...hills,
  );
  picture.style.setProperty('--hue', String(hue));
  return picture;
}

// Two posters of one title may be on one page; ids of gradients must differ all the same.
let serial = 0;

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0;
  }
  return value;
}

/** Mulberry32 seeded by `text`: numbers in [0, 1) for decoration only. */
function generator(text: string): () => number {
  let state = hash(text);
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
