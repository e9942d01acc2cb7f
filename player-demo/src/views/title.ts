import { accountKey, type App, type View } from '../app.ts';
import type { Offer, OpenOrder, Title } from '../api.ts';
import { fill, h, icon } from '../dom.ts';
import { FRESH_MS } from '../nonces.ts';
import { issuerOf, orderTicket, renewTicket, type Ordering } from '../order.ts';
import { Problem } from '../problems.ts';
import { formatMoney } from '../format.ts';
import { createRenewals, isRenewable, type Renewals } from '../renewal.ts';
import { hrefOf, navigate } from '../router.ts';
import type { StoredTicket } from '../store.ts';
import { beginHeadStart, createViewing, termsOf, waitMs, type HeadStart, type Viewing } from '../viewing.ts';
import { createSuccession } from '../succession.ts';
import type { WatchState } from '../watch.ts';
import { elsewhereView } from './elsewhere.ts';
import { describeError, problemCard } from './notice.ts';
import { paymentField } from './payment.ts';
import { playerView } from './player.ts';
import { codeField } from './code.ts';
import { artwork } from './poster.ts';
import { renewalBar } from './renewal-bar.ts';
import { sessionPanel } from './session-panel.ts';
import { heldOf, offerList, shownOffers, ticketStub } from './tickets.ts';

/** A title: the player, and beside it the ticket or what can be bought. */
export function titleView(app: App, id: string): View {
  const element = h('section', { class: 'page is-wide' });
  let dispose: (() => void) | null = null;
  let gone = false;

  async function load(): Promise<void> {
    fill(element, placeholder());
    try {
      const title = await app.api.title(id);
      if (gone) return;
      if (title === null) {
        fill(
          element,
          h('div', { class: 'notice' }, h('h1', { tabindex: -1 }, 'This title is not on sale'), backLink()),
        );
        return;
      }
      const loaded = loadedTitle(app, title);
      dispose = loaded.dispose;
      fill(element, loaded.content);
      document.title = `${title.name} · Usher`;
    } catch (error) {
      if (!gone)
        fill(
          element,
          problemCard(error, () => void load()),
        );
    }
  }

  void load();
  return {
    title: 'Title',
    element,
    dispose() {
      gone = true;
      dispose?.();
    },
  };
}

function loadedTitle(app: App, title: Title) {
  let ticket: StoredTicket | null = null;
  let held: readonly OpenOrder[] = [];
  let viewing: Viewing | null = null;
  let renewals: Renewals | null = null;
  let looking: ReturnType<typeof setInterval> | undefined;
  const bar = renewalBar(() => void renewals?.renewNow(), app.announce);
  const panel = sessionPanel();
  const elsewhere = elsewhereView(app.announce);
  const aside = h('aside', { class: 'aside', 'aria-label': 'Tickets' });
  const code = codeField();
  const payment = paymentField();
  const orderNote = h('p', { class: 'order-note', role: 'status', 'data-testid': 'order-note' });
  const orderError = h('div', { class: 'order-error', role: 'alert', 'data-testid': 'order-error' });

  const player = playerView(artwork(title), {
    play: () => viewing?.watch.play(),
    stop: () => void viewing?.watch.stop(),
    chooseTicket: () => {
      const first = aside.querySelector<HTMLElement>('[data-testid="buy"]');
      first?.scrollIntoView({ block: 'center' });
      first?.focus();
    },
    warmUp: () => void viewing?.warmUp(),
    announce: app.announce,
  });

  function onState(state: WatchState): void {
    player.show(state);
    if (state.phase === 'live' && viewing !== null) panel.start(viewing.watch);
    else panel.stop();
    clearInterval(looking);
    // Nothing is bought while nothing is to be seen.
    if (state.phase === 'live') looking = setInterval(() => void renewals?.look(), LOOK_EVERY_MS);
    else if (state.phase === 'ended') bar.show(null);
    if (state.phase === 'ended' && USED_UP.has(state.code) && ticket !== null) {
      void app.store.removeTicket(ticket.orderId);
      ticket = null;
      bar.use(undefined);
      elsewhere.use(null);
      renderAside();
    }
  }

  async function useTicket(next: StoredTicket | null, headStart?: HeadStart): Promise<void> {
    await viewing?.watch.stop();
    viewing = null;
    ticket = next;
    renderAside();
    renewals = null;
    if (next === null) {
      bar.use(undefined);
      player.show(null);
      elsewhere.use(null);
      app.watching.set(null);
      return;
    }
    const explain = (sessionId: string): Promise<string | null> => explainEnd(app, sessionId);
    viewing = createViewing(next, { onState, onStream: player.attach, explainEnd: explain }, headStart);
    renewals = renewalsOf(next, viewing);
    elsewhere.use(viewing.mintPass);
    app.watching.set(viewing.watch);
    player.show(viewing.watch.state);
  }

  /** The ticket's renewals, one after the other, each by the offer that it was bought by. */
  function renewalsOf(first: StoredTicket, { watch }: Viewing): Renewals {
    const own = title.offers.find(({ id }) => id === first.offerId);
    const offer = isRenewable(own) ? own : null;
    bar.use(offer);
    const { renew, takeOver } = createSuccession({
      first,
      store: app.store,
      locks: navigator.locks,
      order(held) {
        if (offer === null) throw new Problem('not_on_sale');
        return renewTicket(ordering(), held, title, offer);
      },
      async use(next) {
        await watch.renew(next.ticket, termsOf(next));
        void app.refreshAccount();
        app.announce('Your ticket has been renewed.');
        if (viewing?.watch !== watch) return;
        ticket = next;
        renderAside();
      },
    });
    return createRenewals({
      leftMs: watch.leftMs,
      offer,
      mayPay: bar.mayPay,
      onEnding(ending) {
        bar.show(ending);
        // It says the same, as of when it was drawn.
        const left = aside.querySelector<HTMLElement>('[data-testid="ticket-left"]');
        if (left !== null) left.hidden = ending !== null;
      },
      nowMs: () => Date.now(),
      renew,
      takeOver,
    });
  }

  const ordering = (onEndpoint?: (url: string) => void): Ordering => ({
    api: app.api,
    store: app.store,
    issuer: issuerOf(document.baseURI),
    nowMs: () => Date.now(),
    wait: (ms) => waitMs(ms, NEVER),
    onPending: () => void (orderNote.textContent = PENDING),
    ...(onEndpoint === undefined ? {} : { onEndpoint }),
  });

  async function buy(offer: Offer, button: HTMLButtonElement): Promise<void> {
    const typed = code.read();
    const within = held.find((order) => order.offer.id === offer.id) ?? null;
    const free =
      within !== null || offer.price.amountMinor === 0 || (typed !== null && 'voucherCode' in typed);
    if (app.account.value === null && !free) {
      navigate({ page: 'sign-in', returnTo: { page: 'title', id: title.id } });
      return;
    }
    const key = accountKey(app.account.value);
    const buttons = aside.querySelectorAll<HTMLButtonElement>('[data-testid="buy"]');
    fill(orderError);
    for (const each of buttons) each.disabled = true;
    button.classList.add('is-busy');
    try {
      const headStart = beginHeadStart();
      const bought = await orderTicket(
        ordering((url) => void headStart.nonces.refresh(url, FRESH_MS)),
        key,
        title,
        offer,
        { code: typed, cardToken: free ? null : payment.read(), within },
      );
      code.clear();
      void app.refreshAccount();
      // Its payment took a while: the page is another one, or somebody else's. The ticket is kept for who has bought it.
      if (shownFor !== key) return;
      await useTicket(bought, headStart);
      player.element.scrollIntoView({ block: 'nearest' });
      viewing?.watch.play();
    } catch (error) {
      const { title: what, text } = describeError(error);
      const short = error instanceof Problem && error.code === 'funds_insufficient';
      fill(
        orderError,
        h('strong', {}, what),
        h('p', {}, text),
        short ? topUpButton(app, offer, orderError) : null,
      );
    } finally {
      orderNote.textContent = '';
      for (const each of buttons) each.disabled = false;
      button.classList.remove('is-busy');
    }
  }

  function renderAside(): void {
    const shown = shownOffers(title, held);
    const offers = offerList(shown, held, ticket !== null, (offer, button) => void buy(offer, button));
    fill(
      aside,
      ticket === null ? null : [h('h2', {}, 'Your ticket'), ticketStub(ticket, Date.now())],
      h('h2', {}, ticket === null ? 'Tickets' : 'Buy another'),
      orderError,
      orderNote,
      shown.length === 0
        ? h('p', { class: 'muted' }, 'Not on sale right now.')
        : [payment.element, offers, code.element],
    );
  }

  async function showStoredTicket(key: string): Promise<void> {
    const [best] = await app.store.findTickets(key, title.id).catch(() => []);
    if (shownFor !== key) return;
    await useTicket(best ?? null);
    await viewing?.warmUp();
  }

  /** What the account has bought of the categories of this title: that is not to be paid for again. */
  async function showHeld(key: string): Promise<void> {
    held = [];
    if (app.account.value === null || title.categories.length === 0) return;
    const open = await app.api.openOrders().catch(() => []);
    if (shownFor !== key) return;
    held = heldOf(title, open, Date.now());
    renderAside();
  }

  // Another account on this browser has other tickets.
  let shownFor: string | null = null;
  const unsubscribe = app.account.subscribe((account) => {
    const key = accountKey(account);
    if (key === shownFor) return;
    shownFor = key;
    payment.show(account !== null);
    void showStoredTicket(key);
    void showHeld(key);
  });

  // Where the shop does not answer, the balance is left.
  void app.api.testCards().then(payment.offer, () => undefined);
  renderAside();
  return {
    content: [
      backLink(),
      h(
        'div',
        { class: 'watch' },
        h(
          'div',
          { class: 'watch-main' },
          player.element,
          bar.element,
          h(
            'div',
            { class: 'about' },
            h('h1', { tabindex: -1 }, title.name),
            titleFacts(title),
            h('p', {}, title.description),
          ),
          panel.element,
          elsewhere.element,
        ),
        aside,
      ),
    ],
    dispose() {
      shownFor = null;
      unsubscribe();
      panel.stop();
      clearInterval(looking);
      elsewhere.dispose();
      player.dispose();
      void viewing?.watch.stop();
      app.watching.set(null);
    },
  };
}

/** On the air or not, what it belongs to, its languages: in one line. */
function titleFacts({ onAir, categories, languages }: Title): HTMLElement {
  const names = new Intl.DisplayNames(undefined, { type: 'language' });
  const facts = [
    onAir ? 'On the air' : null,
    ...categories.map(({ name }) => name),
    ...languages.map((language) => names.of(language) ?? language),
  ];
  return h('p', { class: 'muted' }, facts.filter((fact) => fact !== null).join(' · '));
}

const LOOK_EVERY_MS = 1000;

const TOP_UP_MINOR = 2000;

/** The demo shop gives play money; any other says `forbidden`. */
function topUpButton(app: App, offer: Offer, place: HTMLElement): HTMLElement {
  const amount = {
    amountMinor: Math.max(TOP_UP_MINOR, offer.price.amountMinor),
    currency: offer.price.currency,
  };
  const idempotencyKey = crypto.randomUUID();
  async function topUp(): Promise<void> {
    try {
      await app.api.topUp(amount, idempotencyKey);
      await app.refreshAccount();
      fill(place);
      app.announce('Your balance has been topped up.');
    } catch (error) {
      const { title, text } = describeError(error);
      fill(place, h('strong', {}, title), h('p', {}, text));
    }
  }
  return h(
    'button',
    { type: 'button', class: 'button is-small', onclick: () => void topUp(), 'data-testid': 'top-up' },
    `Top up ${formatMoney(amount)} of play money`,
  );
}

const PENDING =
  'Your card is being checked. This page asks again by itself; nothing is charged twice, even if you close it.';

/** After these the ticket opens nothing any more. */
const USED_UP: ReadonlySet<string> = new Set(['ticket_expired', 'rights_exhausted', 'ticket_revoked']);

const EXPLAIN_TRIES = 4;
const EXPLAIN_PAUSE_MS = 1500;

/**
 * The order server's word on a session that the streaming server has forgotten. The last receipt may still be on its
 * way there, so it is asked a few times; it tells the buyer only.
 */
async function explainEnd(app: App, sessionId: string): Promise<string | null> {
  for (let tries = 0; tries < EXPLAIN_TRIES && app.account.value !== null; tries++) {
    if (tries > 0) await waitMs(EXPLAIN_PAUSE_MS, NEVER);
    const sessions = (await app.api.used()).flatMap((order) => order.sessions);
    const reason = sessions.find((session) => session.id === sessionId)?.reason ?? null;
    if (reason !== null) return reason;
  }
  return null;
}

const NEVER = new AbortController().signal;

function backLink(): HTMLElement {
  return h('a', { class: 'back', href: hrefOf({ page: 'catalog' }) }, icon('back'), 'All titles');
}

function placeholder(): HTMLElement {
  return h(
    'div',
    { class: 'watch', 'aria-hidden': 'true' },
    h('div', { class: 'watch-main' }, h('div', { class: 'stage is-placeholder' })),
    h('div', { class: 'aside' }, h('div', { class: 'offer is-placeholder' })),
  );
}
