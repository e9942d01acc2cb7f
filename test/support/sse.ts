/** A GraphQL subscription as a client sees it: one result after the other. */
import type { GraphqlResult, Json } from './order-server.ts';

export interface Subscribed {
  /** The next result; `null` when the server has ended the subscription. */
  next(): Promise<Pick<GraphqlResult, 'data' | 'codes'> | null>;
  /** Results until one fits. */
  until(fits: (data: Record<string, Json>) => boolean): Promise<Record<string, Json>>;
  close(): Promise<void>;
}

/** @throws Error with the status when it is no stream of events. */
export async function subscribe(
  url: string,
  query: string,
  variables: object = {},
  token?: string,
): Promise<Subscribed> {
  const gone = new AbortController();
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'text/event-stream',
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ query, variables }),
    signal: gone.signal,
  });
  if (response.headers.get('content-type') !== 'text/event-stream' || response.body === null) {
    throw new Error(`${String(response.status)} ${await response.text()}`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = '';
  const next: Subscribed['next'] = async () => {
    for (;;) {
      const end = buffer.indexOf('\n\n');
      if (end < 0) {
        const { value, done } = await reader.read();
        if (done) return null;
        buffer += value;
        continue;
      }
      const event = buffer.slice(0, end);
      buffer = buffer.slice(end + 2);
      if (/^event: complete$/m.test(event)) return null;
      const data = /^data: (\{.*)$/m.exec(event)?.[1];
      if (data === undefined) continue;
      const result = JSON.parse(data) as {
        data?: Record<string, Json> | null;
        errors?: { extensions?: { code?: string } }[];
      };
      return {
        data: result.data,
        codes: (result.errors ?? []).map(({ extensions }) => extensions?.code ?? ''),
      };
    }
  };
  return {
    next,
    until: async (fits) => {
      for (;;) {
        const result = await next();
        if (result?.data === null || result?.data === undefined)
          throw new Error(`the subscription ended: ${JSON.stringify(result)}`);
        if (fits(result.data)) return result.data;
      }
    },
    close: async () => {
      gone.abort();
      await reader.cancel().catch(() => undefined);
    },
  };
}
