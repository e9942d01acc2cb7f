import { fill, h, icon } from '../dom.ts';
import type { Pass, PlayAddress } from '../pass.ts';
import { describeError } from './notice.ts';

export interface Elsewhere {
  readonly element: HTMLElement;
  /** Whose ticket is exchanged from now on; `null` hides the panel. What was given for another is forgotten. */
  use(mint: (() => Promise<Pass>) | null): void;
  dispose(): void;
}

const COPIED_MS = 2000;

/** Under the picture: addresses for players that take nothing else, for the minute that each is good. */
export function elsewhereView(announce: (text: string) => void): Elsewhere {
  const place = h('div', { class: 'addresses', 'data-testid': 'addresses' });
  const button = h(
    'button',
    {
      type: 'button',
      class: 'button is-quiet is-small',
      onclick: () => void get(),
      'data-testid': 'get-pass',
    },
    'Get addresses',
  );
  const element = h(
    'details',
    { class: 'session elsewhere', 'data-testid': 'elsewhere' },
    h(
      'summary',
      {},
      icon('elsewhere'),
      h('span', {}, 'Play elsewhere'),
      h('span', { class: 'chevron', 'aria-hidden': 'true' }),
    ),
    h(
      'p',
      { class: 'muted' },
      'For VLC, ffplay, a television: any player that takes an address. Take one of them within a minute; it opens one ',
      'connection, and what is watched there counts like what is watched here. If your ticket is for one screen at a ',
      'time, stop the picture here first.',
    ),
    place,
    h('div', { class: 'elsewhere-foot' }, button),
  );
  element.hidden = true;

  let mint: (() => Promise<Pass>) | null = null;
  let timer: ReturnType<typeof setInterval> | undefined;

  function clear(label: string): void {
    clearInterval(timer);
    fill(place);
    button.textContent = label;
    button.disabled = false;
    button.classList.remove('is-busy');
  }

  async function get(): Promise<void> {
    const asked = mint;
    if (asked === null) return;
    button.disabled = true;
    button.classList.add('is-busy');
    try {
      const pass = await asked();
      if (asked !== mint) return;
      clear('Get new ones');
      show(pass);
      announce('Addresses are ready. They are good for one minute.');
    } catch (error) {
      if (asked !== mint) return;
      clear('Try again');
      const { title, text } = describeError(error);
      fill(
        place,
        h('div', { class: 'order-error', role: 'alert' }, h('strong', {}, title), h('p', {}, text)),
      );
    }
  }

  function show({ expiresInSeconds, addresses }: Pass): void {
    const endMs = performance.now() + expiresInSeconds * 1000;
    const left = h('span', { class: 'left-text' });
    const bar = h('span', { class: 'left-bar', 'aria-hidden': 'true' });
    function tick(): void {
      const leftSeconds = Math.ceil((endMs - performance.now()) / 1000);
      if (leftSeconds <= 0) {
        clear('Get new ones');
        fill(place, h('p', { class: 'muted' }, 'These addresses have run out.'));
        return;
      }
      left.textContent = `Good for another ${leftSeconds} s`;
      bar.style.setProperty('--left', `${(leftSeconds / expiresInSeconds) * 100}%`);
    }
    fill(
      place,
      addresses.map((address) => row(address, announce)),
      h('div', { class: 'left', 'data-testid': 'pass-left' }, bar, left),
    );
    timer = setInterval(tick, 1000);
    tick();
  }

  return {
    element,
    use(next) {
      mint = next;
      element.hidden = next === null;
      clear('Get addresses');
    },
    dispose: () => clearInterval(timer),
  };
}

function row({ label, url }: PlayAddress, announce: (text: string) => void): HTMLElement {
  const field = h('input', {
    type: 'text',
    class: 'address-url',
    readonly: true,
    value: url,
    spellcheck: 'false',
    'aria-label': `${label} address`,
    onfocus: () => field.select(),
  });
  const copy = h('button', {
    type: 'button',
    class: 'button is-quiet is-small',
    'aria-label': `Copy the ${label} address`,
  });
  const say = (name: 'copy' | 'check', text: string): void => fill(copy, icon(name), text);
  async function copyUrl(): Promise<void> {
    try {
      await navigator.clipboard.writeText(url);
      say('check', 'Copied');
      announce(`${label} address copied`);
      setTimeout(() => say('copy', 'Copy'), COPIED_MS);
    } catch {
      field.focus(); // The browser forbids it: the viewer copies by hand.
    }
  }
  copy.addEventListener('click', () => void copyUrl());
  say('copy', 'Copy');
  return h('div', { class: 'address' }, h('span', { class: 'address-label' }, label), field, copy);
}
