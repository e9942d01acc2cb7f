/** What a page of another origin needs of a server (Fetch, sections 3.3.2 to 3.3.6). */
import { failed, passed, demand, type Verdict } from '../check.ts';
import { isSuccess, lists, statusText, type Reply } from '../http.ts';

function allowsOrigin({ headers }: Reply, origin: string): Verdict {
  const allowed = headers.get('access-control-allow-origin');
  if (allowed === null) return failed('no Access-Control-Allow-Origin');
  return demand(allowed === '*' || allowed === origin, 'Access-Control-Allow-Origin names another origin');
}

/** Whether a preflight lets the page make a request of this method with these header fields. */
export function judgePreflight(
  reply: Reply,
  origin: string,
  method: string,
  fields: readonly string[],
): Verdict {
  if (!isSuccess(reply)) return failed(`OPTIONS without credentials: ${statusText(reply)}`);
  const allowed = allowsOrigin(reply, origin);
  if (allowed.outcome !== 'passed') return allowed;
  const { headers } = reply;
  // GET, HEAD and POST need not be listed. `*` covers every method, and every header field but Authorization.
  const listed = (name: string, member: string): boolean => lists(headers, name, member);
  if (method !== 'POST' && ![method, '*'].some((text) => listed('access-control-allow-methods', text)))
    return failed(`Access-Control-Allow-Methods lacks ${method}`);
  for (const field of fields) {
    const any = field !== 'authorization' && listed('access-control-allow-headers', '*');
    if (!any && !listed('access-control-allow-headers', field))
      return failed(`Access-Control-Allow-Headers lacks ${field}`);
  }
  return passed;
}

/** Whether the page may read the reply and those of these header fields that it has. */
export function judgeExposure(reply: Reply, origin: string, fields: readonly string[]): Verdict {
  const allowed = allowsOrigin(reply, origin);
  if (allowed.outcome !== 'passed') return allowed;
  const { headers } = reply;
  const exposed = (field: string): boolean =>
    [field, '*'].some((text) => lists(headers, 'access-control-expose-headers', text));
  const hidden = fields.filter((field) => headers.has(field) && !exposed(field));
  return demand(hidden.length === 0, `Access-Control-Expose-Headers lacks ${hidden.join(', ')}`);
}
