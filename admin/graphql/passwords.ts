/** Passwords that change, sessions that end. */
import { emailSchema, passwordSchema } from '../accounts/accounts.ts';
import { changePassword, RESET_SECONDS, resetPassword, startPasswordReset } from '../accounts/credentials.ts';
import { endSession, endSessions, listSessions, type Session } from '../accounts/sessions.ts';
import { changedMail, resetMail } from '../mail/account-mails.ts';
import { Denial } from '../../plugin/errors.ts';
import { allow } from './access.ts';
import { builder } from './builder.ts';
import { delayed, givenPassword } from './credentials.ts';
import { now, parseId, parseInput, signedIn } from './input.ts';

const MySessionType = builder.objectRef<Session>('AccountSession').implement({
  description: 'A browser or program in which somebody is signed in.',
  fields: (t) => ({
    id: t.exposeID('id'),
    userAgent: t.exposeString('userAgent', { nullable: true, description: 'What it called itself.' }),
    current: t.boolean({
      description: 'True for the one that asks.',
      resolve: (session, _args, context) => session.id === context.session?.id,
    }),
    createdAt: t.expose('createdAt', { type: 'DateTime' }),
    lastUsedAt: t.expose('lastUsedAt', { type: 'DateTime', description: 'Right to a minute.' }),
    expiresAt: t.expose('expiresAt', { type: 'DateTime' }),
  }),
});

builder.queryField('mySessions', (t) =>
  t.field({
    ...allow('account'),
    type: [MySessionType],
    description: 'Where the own account is signed in, newest first; at most 100.',
    resolve: (_root, _args, context) => listSessions(context.services.db, signedIn(context).id, now(context)),
  }),
);

builder.mutationFields((t) => ({
  endMySession: t.field({
    ...allow('account'),
    type: 'Boolean',
    description: 'Signs one of the own sessions out; false if there was none of that id.',
    args: { id: t.arg.id() },
    resolve: async (_root, { id }, context) => {
      const { services } = context;
      const account = signedIn(context);
      const hasEnded = await endSession(services.db, account.id, parseId(id));
      services.events.publish([{ kind: 'account', id: account.id }]);
      return hasEnded;
    },
  }),
  signOutEverywhere: t.field({
    ...allow('account'),
    type: 'Int',
    description: 'Ends all own sessions, this one too; answers how many.',
    resolve: async (_root, _args, context) => {
      const { services } = context;
      const { id } = signedIn(context);
      const ended = await endSessions(services.db, id);
      services.events.publish([{ kind: 'account', id }]);
      context.setSessionCookie(null);
      return ended;
    },
  }),
  changePassword: t.field({
    ...allow('account'),
    type: 'Boolean',
    description: 'Changes the own password, and ends all other sessions.',
    args: {
      currentPassword: t.arg.string(),
      newPassword: t.arg.string({ description: '10 to 200 characters.' }),
    },
    resolve: async (_root, args, context) => {
      const { services, peer, session } = context;
      const account = signedIn(context);
      if (session === null) throw new Denial('unauthenticated');
      const next = parseInput(passwordSchema, args.newPassword);
      // Who finds a browser open is a guesser as well.
      services.throttles.logins.take(peer);
      const throttleKey = `${peer} ${account.email}`;
      services.throttles.login.take(throttleKey);
      services.throttles.loginTarget.take(account.email);
      await delayed(services, 'credentials_invalid', () =>
        changePassword(services.db, {
          accountId: account.id,
          sessionId: session.id,
          current: givenPassword(args.currentPassword),
          next,
        }),
      );
      services.throttles.login.forget(throttleKey);
      services.throttles.loginTarget.forget(account.email);
      services.events.publish([{ kind: 'account', id: account.id }]);
      services.outbox.post('notice', async () => changedMail(account.email, services.publicUrl));
      return true;
    },
  }),
  requestPasswordReset: t.field({
    ...allow('anyone'),
    type: 'Boolean',
    description:
      'Mails a link to choose a new password, if an account has this address. The answer is the same if none has.',
    args: { email: t.arg.string() },
    resolve: (_root, args, context) => {
      const { services, peer } = context;
      services.throttles.logins.take(peer);
      const email = parseInput(emailSchema, args.email);
      services.throttles.resets.take(email);
      const at = now(context);
      // All that depends on whether there is such an account comes after the answer.
      const posted = services.outbox.post('asked', async () => {
        const token = await startPasswordReset(services.db, email, at);
        return token === null ? null : resetMail(email, token, services.publicUrl, RESET_SECONDS / 60);
      });
      if (!posted) throw new Denial('overloaded');
      return true;
    },
  }),
  resetPassword: t.field({
    ...allow('anyone'),
    type: 'Boolean',
    description: 'Chooses a new password with the token of a mail, once; ends all sessions of the account.',
    args: {
      token: t.arg.string(),
      newPassword: t.arg.string({ description: '10 to 200 characters.' }),
    },
    resolve: async (_root, args, context) => {
      const { services, peer } = context;
      services.throttles.logins.take(peer);
      const next = parseInput(passwordSchema, args.newPassword);
      const { id, email } = await resetPassword(services.db, args.token, next, now(context));
      services.events.publish([{ kind: 'account', id }]);
      services.outbox.post('notice', async () => changedMail(email, services.publicUrl));
      return true;
    },
  }),
}));
