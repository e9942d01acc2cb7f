import { accountKey, type App, type View } from '../app.ts';
import { fill, h } from '../dom.ts';
import { hrefOf } from '../router.ts';
import { ordersSection } from './account-orders.ts';
import { securitySections } from './account-security.ts';
import { statementSection } from './account-statement.ts';

/** One's own account: orders with their history, the statement, where one is signed in, the password. */
export function accountView(app: App): View {
  const lead = h('p', { class: 'lead' });
  const content = h('div', { class: 'account-parts' });
  const element = h(
    'section',
    { class: 'page' },
    h('header', { class: 'page-head' }, h('h1', { tabindex: -1 }, 'Your account'), lead),
    content,
  );
  let shownFor: string | null = null;

  // The balance changes as well; the page stays as it is then.
  const unsubscribe = app.account.subscribe((account) => {
    const key = accountKey(account);
    if (key === shownFor) return;
    shownFor = key;
    lead.textContent = account === null ? '' : `${account.name} · ${account.email}`;
    if (account === null) {
      const href = hrefOf({ page: 'sign-in', returnTo: { page: 'account' } });
      fill(
        content,
        h(
          'div',
          { class: 'notice' },
          h('p', {}, 'Sign in to see it.'),
          h('a', { class: 'button', href }, 'Sign in'),
        ),
      );
      return;
    }
    const statement = statementSection(app);
    fill(content, ordersSection(app, statement.reload), statement.element, securitySections(app));
  });
  return { title: 'Your account', element, dispose: unsubscribe };
}
