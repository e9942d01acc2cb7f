/** What a browser is shown: the player's files and GraphiQL, each with a policy that lets nothing else in. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { Denial } from '../../plugin/errors.ts';

const TYPES: Readonly<Record<string, string>> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  ico: 'image/x-icon',
  js: 'text/javascript; charset=utf-8',
  map: 'application/json',
  png: 'image/png',
  svg: 'image/svg+xml',
};

const FILE_NAME = /^[a-z0-9][a-z0-9_-]{0,63}(?:\.[a-z0-9_-]{1,20}){0,2}\.([a-z]{2,4})$/i;

/** player-demo/dist, seen from the source and from the build. */
function playerFolder(): string | null {
  for (const relative of ['../../player-demo/dist/', '../../../player-demo/dist/']) {
    const folder = fileURLToPath(new URL(relative, import.meta.url));
    if (existsSync(`${folder}index.html`)) return folder;
  }
  return null;
}

/** CSP's grammar (CSP Level 3 section 2.3.1) has no IPv6 addresses: such a server is named by scheme and port alone. */
function sourceOf(origin: string): string {
  const { hostname, protocol, port } = new URL(origin);
  return hostname.startsWith('[') ? `${protocol}//*${port === '' ? '' : `:${port}`}` : origin;
}

/**
 * Content-Security-Policy of the player: its own files, and the streaming servers it plays from.
 * @param mediaOrigins origins of the registered streaming servers
 */
export function playerPolicy(mediaOrigins: readonly string[]): string {
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    // Artwork of titles.
    "img-src 'self' data: https:",
    "media-src 'self' blob:",
    `connect-src ${["'self'", ...new Set(mediaOrigins.map(sourceOf))].join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

/** One file of the player. @throws Denial `not_found`; `overloaded` when the player has not been built. */
export async function playerFile(name: string): Promise<{ body: Buffer; type: string; etag: string }> {
  const type = TYPES[FILE_NAME.exec(name)?.[1]?.toLowerCase() ?? ''];
  if (type === undefined) throw new Denial('not_found');
  const folder = playerFolder();
  if (folder === null) {
    throw new Denial('overloaded', { detail: 'the player is not built: run node player-demo/build.ts' });
  }
  try {
    const body = await readFile(folder + name);
    return { body, type, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` };
  } catch (cause) {
    throw new Denial('not_found', { cause });
  }
}

export interface Page {
  readonly html: string;
  readonly policy: string;
}

const graphiql = new Map<string, Promise<Page>>();

async function makeGraphiql(endpoint: string): Promise<Page> {
  // Several megabytes of script, needed by few: loaded when first asked for.
  const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
  const html = renderGraphiQL({ title: 'Usher GraphiQL', endpoint, method: 'POST' }).trim();
  // The page's one inline script is allowed by its hash: the browser's is over the text up to the first end tag.
  const start = html.indexOf('<script>') + '<script>'.length;
  const script = html.slice(start, html.indexOf('</script>', start));
  const hash = createHash('sha256').update(script).digest('base64');
  const policy = [
    "default-src 'none'",
    `script-src 'sha256-${hash}' blob:`,
    'worker-src blob:',
    "style-src 'self' 'unsafe-inline'",
    'img-src data:',
    'font-src data:',
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  return { html, policy };
}

/**
 * The GraphiQL page; it asks no other server for anything.
 * @param endpoint path of the API, as browsers see it
 */
export function graphiqlPage(endpoint: string): Promise<Page> {
  const page = graphiql.get(endpoint) ?? makeGraphiql(endpoint);
  graphiql.set(endpoint, page);
  return page;
}
