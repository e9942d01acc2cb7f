/** Who sends a request: a session by cookie or token, or an API key; and the cookie's way back. */
import type { Context } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { Denial } from '../../plugin/errors.ts';
import { basePathOf } from '../../plugin/public-urls.ts';
import { findApiKey, isApiKey } from '../accounts/api-keys.ts';
import { findSession, SESSION_SECONDS } from '../accounts/sessions.ts';
import type { RequestContext, Services } from '../context.ts';

const COOKIE = 'usher_session';

/** The part of a request's context that says who asks. */
export type Identity = Pick<RequestContext, 'principal' | 'account' | 'session' | 'setSessionCookie'>;

export interface Identities {
  /** Reads who asks. Credentials that are not known, or no longer, are nobody's. */
  read(context: Context): Promise<Identity>;
}

/**
 * Browsers name the page that sends a request. Together with SameSite=Strict and a content type that forms can't send,
 * no other site can act for somebody who is signed in here.
 * @throws Denial `forbidden`
 */
export function refuseOtherOrigins(context: Context, ownOrigin: string): void {
  const origin = context.req.header('origin');
  if (origin !== undefined && origin !== ownOrigin) throw new Denial('forbidden', { detail: 'origin' });
  const site = context.req.header('sec-fetch-site');
  if (site === 'cross-site' || site === 'same-site') throw new Denial('forbidden', { detail: 'origin' });
}

export function createIdentities(services: Services, publicUrl: string): Identities {
  const path = `${basePathOf(publicUrl)}/`;
  // With a prefix, no other host and no page without TLS can set a cookie of this name (RFC 6265bis, 4.1.3).
  const prefix = !services.secureCookies ? undefined : path === '/' ? 'host' : 'secure';
  const cookieOf = (context: Context) =>
    prefix === undefined ? getCookie(context, COOKIE) : getCookie(context, COOKIE, prefix);

  return {
    read: async (context) => {
      const setSessionCookie = (token: string | null): void => {
        setCookie(context, COOKIE, token ?? '', {
          httpOnly: true,
          sameSite: 'Strict',
          path,
          secure: services.secureCookies,
          maxAge: token === null ? 0 : SESSION_SECONDS,
          ...(prefix === undefined ? {} : { prefix }),
        });
      };
      const nobody = { principal: null, account: null, session: null, setSessionCookie };
      const now = new Date(services.clock.nowMs());
      const authorization = context.req.header('authorization');
      // Who sends credentials in the header means those, and not a cookie that happens to come along.
      const token =
        authorization === undefined ? cookieOf(context) : /^Bearer (\S+)$/i.exec(authorization)?.[1];
      if (token === undefined) return nobody;
      if (authorization !== undefined && isApiKey(token)) {
        const key = await findApiKey(services.db, token, now);
        return key === null ? nobody : { ...nobody, principal: { kind: 'api_key', ...key } };
      }
      const session = await findSession(services.db, token, now);
      if (session === null) return nobody;
      const { id, account } = session;
      return {
        principal: { kind: 'account', account },
        account,
        session: { id, byCookie: authorization === undefined },
        setSessionCookie,
      };
    },
  };
}
