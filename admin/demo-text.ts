import type { MediaConfig } from '../plugin/config.ts';
import type { Config } from './config.ts';
import { DEMO_LOGINS } from './seed.ts';

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host.startsWith('127.');

export interface Demo {
  readonly order: Config;
  readonly media: MediaConfig;
  readonly streamKey: string;
  readonly streamPath: string;
}

/** What a newcomer needs, once: what to open, how to publish, who to be, and a first call of each API. */
export function demoText({ order, media, streamKey, streamPath }: Demo): string {
  const [app, name] = streamPath.slice(1).split('/');
  const rtmp = `rtmp://${new URL(media.publicUrl).hostname}:${String(media.USHER_RTMP_PORT)}/${app ?? ''}`;
  const insecure = order.tlsCertFile === undefined ? '' : ' -k';
  const logins = DEMO_LOGINS.map(({ email, password, what }) => `    ${email}  ${password}  (${what})`);
  return [
    '',
    '  Usher is on the air.',
    '',
    `  Watch     ${order.publicUrl}/`,
    `  GraphiQL  ${order.publicUrl}/graphql`,
    '',
    '  Accounts (demo only)',
    ...logins,
    ...(isLoopback(order.host)
      ? []
      : ['    WARNING: whoever reaches this address can sign in with these passwords.']),
    '',
    '  Publish with OBS: Settings > Stream > Custom. The demo encoder is on the air; stop it (USHER_DEMO_ENCODER=off) first.',
    `    Server      ${rtmp}`,
    `    Stream key  ${name ?? ''}?key=${streamKey}`,
    '    Its defaults play; with tune zerolatency nothing is re-encoded, and keyframes each second start sooner',
    '',
    '  Order server   the catalog',
    `    curl${insecure} ${order.publicUrl}/graphql -H 'content-type: application/json' -d '{"query":"{catalog{edges{node{name path}}}}"}'`,
    '  Media server   without a ticket: 401 ticket_missing',
    `    curl${insecure} -i -X POST ${media.publicUrl}/whep${streamPath} -H 'content-type: application/sdp' --data-binary 'v=0'`,
    '',
    '  Ctrl-C ends it. What was made stays in ' + order.dataDir,
    '',
  ].join('\n');
}
