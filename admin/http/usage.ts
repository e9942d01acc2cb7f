/** `GET /v1/usage.csv`: a usage report for spreadsheets. */
import type { Context } from 'hono';
import { principalId, type Services } from '../context.ts';
import { requireAccess } from '../graphql/access.ts';
import { usageCsv } from '../usage/csv.ts';
import { parseUsageQuery } from '../usage/query.ts';
import { bodyStream } from './body-stream.ts';
import type { AppEnv } from './env.ts';
import { errorFields } from './error-fields.ts';
import { refuseOtherOrigins, type Identities } from './principal.ts';

async function* encoded(texts: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const text of texts) yield encoder.encode(text);
}

/**
 * Answers with the report as a download, sent page by page.
 * @throws Denial `unauthenticated`, `forbidden` (no `finance:read`, another origin), `input_invalid`, `rate_limited`
 */
export async function usageDownload(
  services: Services,
  identities: Identities,
  context: Context<AppEnv>,
  { peer, ownOrigin }: { readonly peer: string; readonly ownOrigin: string },
): Promise<Response> {
  // The cookie of whoever looks at another page of this site comes along with its requests.
  refuseOtherOrigins(context, ownOrigin);
  services.throttles.requests.take(peer);
  const identity = await identities.read(context);
  requireAccess('finance:read', identity);
  if (identity.principal !== null) services.throttles.accountRequests.take(principalId(identity.principal));
  const request = parseUsageQuery(context.req.query());
  const body = bodyStream(encoded(usageCsv(services.db, request)), (error) => {
    services.log.error(
      { requestId: context.var.requestId, ...errorFields(error) },
      'a usage report was cut short',
    );
  });
  return context.body(body, 200, {
    'content-type': 'text/csv; charset=utf-8; header=present',
    'content-disposition': `attachment; filename="usage-by-${request.groupBy}.csv"`,
    'cache-control': 'no-store',
  });
}
