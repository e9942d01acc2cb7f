import type { App, View } from '../app.ts';
import { fill, h } from '../dom.ts';
import { asProblem } from '../problems.ts';
import { hrefOf, type Route } from '../router.ts';
import { field, MIN_PASSWORD_CHARS } from './field.ts';
import { describeError } from './notice.ts';

const SIGN_IN: Route = { page: 'sign-in', returnTo: { page: 'catalog' } };

interface Form {
  readonly title: string;
  readonly testId: string;
  readonly input: HTMLInputElement;
  readonly field: HTMLElement;
  readonly submit: string;
  /** Sends what was typed; answers what to say then. */
  send(text: string): Promise<HTMLElement>;
  wordsOf(thrown: unknown): string;
}

/** One field and a button; what comes of it takes their place. */
function formView({ title, testId, input, field: row, submit, send, wordsOf }: Form): View {
  const heading = h('h1', { tabindex: -1 }, title);
  const error = h('p', { class: 'form-error', role: 'alert' });
  const button = h('button', { type: 'submit', class: 'button is-wide' }, submit);
  const panel = h('div', { class: 'panel' });
  const form = h(
    'form',
    { class: 'form', 'data-testid': testId, onsubmit: (event) => void onSubmit(event) },
    row,
    error,
    button,
  );
  async function onSubmit(event: Event): Promise<void> {
    event.preventDefault();
    error.textContent = '';
    button.disabled = true;
    try {
      fill(panel, heading, await send(input.value));
    } catch (thrown) {
      error.textContent = wordsOf(thrown);
    } finally {
      button.disabled = false;
    }
  }
  fill(panel, heading, form);
  return { title, element: h('section', { class: 'page is-narrow' }, panel) };
}

function wordsFor(thrown: unknown): string {
  const { title, text } = describeError(thrown);
  return `${title}. ${text}`;
}

/** Asks for the address that a link to choose a new password is mailed to. */
export function forgotView(app: App): View {
  const input = h('input', {
    id: 'email',
    name: 'email',
    type: 'email',
    autocomplete: 'username',
    required: true,
    maxlength: 254,
  });
  return formView({
    title: 'Forgotten your password?',
    testId: 'forgot-form',
    input,
    field: field('E-mail', input),
    submit: 'Mail me a link',
    send: async (email) => {
      await app.api.forgot(email);
      // The shop does not say whether there is such an account, and neither do we.
      return h(
        'p',
        { role: 'status' },
        'If there is an account of this address, a mail is on its way to it.',
      );
    },
    wordsOf: wordsFor,
  });
}

/** Where the link of that mail leads: a new password. */
export function resetView(app: App, token: string): View {
  const hint = h(
    'span',
    { class: 'hint', id: 'password-hint' },
    `At least ${MIN_PASSWORD_CHARS} characters.`,
  );
  const input = h('input', {
    id: 'password',
    name: 'password',
    type: 'password',
    autocomplete: 'new-password',
    required: true,
    minlength: MIN_PASSWORD_CHARS,
    maxlength: 200,
    'aria-describedby': hint.id,
  });
  return formView({
    title: 'Choose a new password',
    testId: 'reset-form',
    input,
    field: field('New password', input, hint),
    submit: 'Save',
    send: async (password) => {
      await app.api.resetPassword(token, password);
      await app.refreshAccount();
      return h(
        'p',
        { role: 'status' },
        'Your password is changed. ',
        h('a', { href: hrefOf(SIGN_IN) }, 'Sign in'),
      );
    },
    wordsOf: (thrown) =>
      asProblem(thrown).code === 'not_found'
        ? 'This link was used, or is too old. Ask for a new one.'
        : wordsFor(thrown),
  });
}
