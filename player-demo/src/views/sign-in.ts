import type { App, View } from '../app.ts';
import { fill, h } from '../dom.ts';
import { field, MIN_PASSWORD_CHARS } from './field.ts';
import { hrefOf, navigate, type Route } from '../router.ts';
import { asProblem } from '../problems.ts';
import { describeError } from './notice.ts';

/** Sign in, or make an account: one form, two modes. */
export function signInView(app: App, returnTo: Route): View {
  let creating = false;
  const heading = h('h1', { tabindex: -1 });
  const error = h('p', { class: 'form-error', role: 'alert', 'data-testid': 'sign-in-error' });
  const nameInput = h('input', { id: 'name', name: 'name', autocomplete: 'name', maxlength: 100 });
  const nameField = field('Name', nameInput);
  const emailInput = h('input', {
    id: 'email',
    name: 'email',
    type: 'email',
    autocomplete: 'username',
    required: true,
    maxlength: 254,
  });
  const hint = h('span', { class: 'hint', id: 'password-hint' });
  const passwordInput = h('input', {
    id: 'password',
    name: 'password',
    type: 'password',
    required: true,
    maxlength: 200,
    'aria-describedby': 'password-hint',
  });
  const submit = h('button', { type: 'submit', class: 'button is-wide' });
  const toggle = h('button', { type: 'button', class: 'link', onclick: () => setMode(!creating) });
  const form = h(
    'form',
    { class: 'form', 'data-testid': 'sign-in-form', onsubmit: (event) => void send(event) },
    nameField,
    field('E-mail', emailInput),
    field('Password', passwordInput, hint),
    error,
    submit,
  );
  const question = h('p', { class: 'form-foot' });
  const forgotten = h(
    'p',
    { class: 'form-foot' },
    h('a', { href: hrefOf({ page: 'forgot' }) }, 'Forgotten your password?'),
  );

  function setMode(next: boolean): void {
    creating = next;
    heading.textContent = creating ? 'Create an account' : 'Welcome back';
    submit.textContent = creating ? 'Create account' : 'Sign in';
    nameField.hidden = !creating;
    nameInput.required = creating;
    passwordInput.autocomplete = creating ? 'new-password' : 'current-password';
    if (creating) passwordInput.minLength = MIN_PASSWORD_CHARS;
    else passwordInput.removeAttribute('minlength');
    hint.textContent = creating ? `At least ${MIN_PASSWORD_CHARS} characters.` : '';
    error.textContent = '';
    toggle.textContent = creating ? 'Sign in' : 'Create an account';
    fill(question, creating ? 'Have an account? ' : 'New here? ', toggle);
    forgotten.hidden = creating;
  }

  async function send(event: Event): Promise<void> {
    event.preventDefault();
    error.textContent = '';
    submit.disabled = true;
    try {
      if (creating) await app.api.signUp(nameInput.value, emailInput.value, passwordInput.value);
      else await app.api.signIn(emailInput.value, passwordInput.value);
      await app.refreshAccount();
      app.announce('Signed in.');
      navigate(returnTo);
    } catch (thrown) {
      error.textContent = wordsOf(thrown);
      passwordInput.select();
    } finally {
      submit.disabled = false;
    }
  }

  function wordsOf(thrown: unknown): string {
    const { code } = asProblem(thrown);
    if (code === 'conflict') return 'There is an account with this e-mail address already.';
    const { title, text } = describeError(thrown);
    return `${title}. ${text}`;
  }

  setMode(false);
  const element = h(
    'section',
    { class: 'page is-narrow' },
    h('div', { class: 'panel' }, heading, form, question, forgotten),
  );
  return { title: 'Sign in', element };
}
