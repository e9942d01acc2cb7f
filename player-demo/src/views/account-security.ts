import type { OwnSession } from '../account-api.ts';
import type { App } from '../app.ts';
import { fill, h } from '../dom.ts';
import { describeAgent, formatWhen } from '../format.ts';
import { asProblem } from '../problems.ts';
import { field, MIN_PASSWORD_CHARS } from './field.ts';
import { describeError, problemCard } from './notice.ts';

/** Where one is signed in, and the password. */
export function securitySections(app: App): HTMLElement[] {
  const sessions = sessionsSection(app);
  void sessions.reload();
  return [sessions.element, passwordSection(app, () => void sessions.reload())];
}

function sessionsSection(app: App): { readonly element: HTMLElement; reload(): Promise<void> } {
  const rows = h('ul', { class: 'sessions', 'data-testid': 'sessions' });
  const error = h('div', { role: 'alert' });
  let others: readonly OwnSession[] = [];
  const endOthers = h(
    'button',
    { type: 'button', class: 'button is-quiet is-small', onclick: () => void end(others), hidden: true },
    'Sign out everywhere else',
  );

  async function reload(): Promise<void> {
    fill(error);
    try {
      const all = await app.api.sessions();
      others = all.filter(({ current }) => !current);
      fill(
        rows,
        all.map((session) => sessionRow(session, () => void end([session]))),
      );
      endOthers.hidden = others.length === 0;
    } catch (thrown) {
      fill(
        error,
        problemCard(thrown, () => void reload()),
      );
    }
  }

  async function end(ended: readonly OwnSession[]): Promise<void> {
    const hadFocus = element.contains(document.activeElement);
    try {
      await Promise.all(ended.map(({ id }) => app.api.endSession(id)));
    } catch (thrown) {
      await reload();
      fill(error, h('p', { class: 'form-error' }, describeError(thrown).title));
      return;
    }
    await reload();
    app.announce(ended.length === 1 ? 'Signed out there.' : 'Signed out everywhere else.');
    if (hadFocus) heading.focus();
  }

  const heading = h('h2', { id: 'sessions-title', tabindex: -1 }, 'Signed in');
  const element = h(
    'section',
    { class: 'account-part', 'aria-labelledby': heading.id },
    heading,
    rows,
    error,
    endOthers,
  );
  return { element, reload };
}

function sessionRow({ userAgent, current, lastUsedAt }: OwnSession, end: () => void): HTMLElement {
  const name = describeAgent(userAgent);
  return h(
    'li',
    {},
    h(
      'div',
      {},
      h('strong', { title: userAgent }, name),
      h('p', { class: 'muted' }, current ? 'This one' : `Last used ${formatWhen(lastUsedAt)}`),
    ),
    current
      ? null
      : h(
          'button',
          {
            type: 'button',
            class: 'button is-quiet is-small',
            'aria-label': `Sign out: ${name}, last used ${formatWhen(lastUsedAt)}`,
            onclick: end,
          },
          'Sign out',
        ),
  );
}

function passwordSection(app: App, changed: () => void): HTMLElement {
  const current = h('input', {
    id: 'current-password',
    type: 'password',
    autocomplete: 'current-password',
    required: true,
    maxlength: 200,
  });
  const hint = h('span', { class: 'hint', id: 'new-hint' }, `At least ${MIN_PASSWORD_CHARS} characters.`);
  const next = h('input', {
    id: 'new-password',
    type: 'password',
    autocomplete: 'new-password',
    required: true,
    minlength: MIN_PASSWORD_CHARS,
    maxlength: 200,
    'aria-describedby': hint.id,
  });
  // For the browser's own store of passwords, which asks whose it is.
  const who = h('input', { type: 'email', autocomplete: 'username', hidden: true });
  who.value = app.account.value?.email ?? '';
  const error = h('p', { class: 'form-error', role: 'alert' });
  const done = h('p', { role: 'status', class: 'muted' });
  const button = h('button', { type: 'submit', class: 'button' }, 'Change password');

  async function send(event: Event): Promise<void> {
    event.preventDefault();
    fill(error);
    fill(done);
    button.disabled = true;
    try {
      await app.api.changePassword(current.value, next.value);
      current.value = next.value = '';
      fill(done, 'Your password is changed, and you are signed out everywhere else.');
      changed();
    } catch (thrown) {
      const { title, text } = describeError(thrown);
      const isWrong = asProblem(thrown).code === 'credentials_invalid';
      fill(error, isWrong ? 'The current password is not right.' : `${title}. ${text}`);
      if (isWrong) current.select();
    } finally {
      button.disabled = false;
    }
  }
  return h(
    'section',
    { class: 'account-part', 'aria-labelledby': 'password-title' },
    h('h2', { id: 'password-title' }, 'Password'),
    h(
      'form',
      { class: 'form is-narrow', 'data-testid': 'password-form', onsubmit: (event) => void send(event) },
      who,
      field('Current password', current),
      field('New password', next, hint),
      error,
      h('div', {}, button),
      done,
    ),
  );
}
