import { h, icon } from '../dom.ts';
import { formatBytes, formatClock } from '../format.ts';
import type { Receipt } from '../receipts.ts';
import { readMediaStats } from '../stats.ts';
import type { Watch } from '../watch.ts';

const STATS_EVERY_MS = 1000;
const RECEIPTS_EVERY = 5;
const NOTHING = '–';

export interface SessionPanel {
  readonly element: HTMLElement;
  start(watch: Watch): void;
  stop(): void;
}

/** What makes this viewing the viewer's own: keys, cipher, and the server's receipts beside the browser's own count. */
export function sessionPanel(): SessionPanel {
  const rows = {
    yours: row('Your key'),
    server: row('Server’s key'),
    cipher: row('Cipher'),
    handshake: row('Handshake'),
    session: row('Session'),
    picture: row('Picture'),
    counted: row('This browser counted'),
    receipts: row('The server’s receipts'),
    checked: row('Checked here'),
  };
  const element = h(
    'details',
    { class: 'session', 'data-testid': 'session-panel' },
    h(
      'summary',
      {},
      icon('lock'),
      h('span', {}, 'Encrypted for this session'),
      h('span', { class: 'chevron', 'aria-hidden': 'true' }),
    ),
    h(
      'p',
      { class: 'muted' },
      'The keys of this picture were made in your browser and on the server when you pressed play, for this session only. ',
      'The proof that the ticket is yours names your key’s fingerprint, so nobody in between can take your place.',
    ),
    h(
      'dl',
      { class: 'facts' },
      Object.values(rows).map((entry) => entry.element),
    ),
  );

  let timer: ReturnType<typeof setInterval> | undefined;

  function stop(): void {
    clearInterval(timer);
    timer = undefined;
  }

  async function update(watch: Watch, round: number): Promise<void> {
    const { session } = watch;
    if (session === null) return;
    rows.yours.set(shortFingerprint(session.localFingerprint), session.localFingerprint);
    rows.server.set(shortFingerprint(session.remoteFingerprint), session.remoteFingerprint);
    const stats = await readMediaStats(session.peerConnection);
    rows.cipher.set(stats.cipher ?? NOTHING);
    rows.handshake.set(stats.handshake ?? NOTHING);
    rows.picture.set(stats.picture ?? NOTHING);
    rows.counted.set(formatBytes(stats.bytes));
    if (round % RECEIPTS_EVERY !== 1) return;
    showReceipts(await watch.readReceipts());
    const { receiptVerdict } = watch;
    if (rows.receipts.isSet())
      rows.checked.set(receiptVerdict === null ? 'One chain, signed by the server' : `No: ${receiptVerdict}`);
  }

  function showReceipts(receipts: readonly Receipt[]): void {
    const last = receipts.at(-1);
    if (last === undefined) return;
    // The end of a UUIDv7 is its random part.
    rows.session.set(`…${last.session.slice(-12)}`, last.session);
    const count = last.seq + 1;
    rows.receipts.set(`${count} so far · ${formatClock(last.mediaMs / 1000)} · ${formatBytes(last.bytes)}`);
  }

  return {
    element,
    start(watch) {
      stop();
      for (const entry of Object.values(rows)) entry.set(NOTHING);
      let round = 0;
      timer = setInterval(() => {
        round += 1;
        // A round that fails says nothing new; the state machine notices by itself when the session is over.
        void update(watch, round).catch(() => undefined);
      }, STATS_EVERY_MS);
    },
    stop,
  };
}

function row(label: string) {
  const value = h('dd', {}, NOTHING);
  return {
    element: h('div', {}, h('dt', {}, label), value),
    isSet: () => value.textContent !== NOTHING,
    set(text: string, whole = ''): void {
      if (value.textContent !== text) value.textContent = text;
      value.title = whole;
    },
  };
}

/** The first bytes; the whole of it is in the tooltip. */
function shortFingerprint(fingerprint: string): string {
  return `${fingerprint.replace(/^\S+ /, '').slice(0, 14)}…`;
}
