/** What is mailed to people about their accounts. Nothing in it is theirs to choose: a name could be an advertisement. */
import type { Mail } from './transport.ts';

/** The link to choose a new password; its token is in the fragment, which browsers send to nobody. */
export function resetMail(to: string, token: string, publicUrl: string, minutes: number): Mail {
  return {
    to,
    subject: 'Choose a new password',
    text: `Somebody, probably you, wants a new password for the account of this address at ${publicUrl}/

Choose it here, within ${minutes} minutes:

${publicUrl}/#/reset/${token}

If it was not you, do nothing: the password stays as it is.
`,
  };
}

/** Says that a password is another one, so that nobody else's change stays unnoticed. */
export function changedMail(to: string, publicUrl: string): Mail {
  return {
    to,
    subject: 'Your password was changed',
    text: `The password of your account at ${publicUrl}/ was changed just now, and its other sessions have ended.

If it was not you, choose a new one at once: ${publicUrl}/#/forgot
`,
  };
}
