/** The table: what refuses a player, and how it comes about on each protocol. */
import type { Code } from '../../../../plugin/errors.ts';
import { Denial } from '../../../../plugin/errors.ts';
import { generateSigningKey } from '../../../../plugin/ticket/index.ts';
import { UNLIMITED_PLAY } from '../../../../plugin/rights/index.ts';
import { COLUMNS, type Ask, type Column } from '../../../support/flv-readers.ts';
import { newPath } from '../../../support/guarded-nms.ts';
import { ELSEWHERE, type RefusalHouse } from './refusals.ts';

export type Cell = (column: Column) => Promise<Omit<Ask, 'ports'>>;

export interface Row {
  readonly code: Code;
  readonly name: string;
  /** A way to get there, or why there is none. */
  readonly cells: Readonly<Record<Column, Cell | string>>;
  /** Done when every ask is made: bends what the asks were made under. */
  readonly before?: () => void;
  /** Puts things right again. */
  readonly after?: () => void;
  /** The pass is good still, as the viewer could do nothing about it. */
  readonly passSurvives?: true;
}

/** An unknown pass of the right form. */
const STRANGE_PASS = `ps_${'0'.repeat(22)}`;
const NO_FIELDS = 'RTMP has no header fields: ticket and proof cannot be shown, only a pass';
const ONE_METHOD = 'there is one way to ask';
const COUNTED = { ...UNLIMITED_PLAY, accesses: 1 };

type Claims = Parameters<RefusalHouse['house']['ticket']>[0];
type Held = Awaited<ReturnType<RefusalHouse['house']['ticket']>>;

const inAll = (cell: Cell): Row['cells'] =>
  Object.fromEntries(COLUMNS.map((column) => [column, cell])) as Record<Column, Cell>;

const butNot = (cell: Cell, reasons: Partial<Record<Column, string>>): Row['cells'] => ({
  ...inAll(cell),
  ...reasons,
});

/** Needs header fields. */
const byHeaders = (cell: Cell): Row['cells'] => butNot(cell, { rtmp: NO_FIELDS, rtmps: NO_FIELDS });

/** All rows, for a live stream. */
export function playRows(refusals: RefusalHouse, live: string): readonly Row[] {
  const { house, shift } = refusals;
  const { world } = house;
  const nowSeconds = (): number => Math.floor(Date.now() / 1000);
  const ticket = (claims: Claims = {}): Promise<Held> => house.ticket({ uri: live, ...claims });
  const passOf = async (claims: Claims = {}, path = live): Promise<string> =>
    house.pass(path, await ticket({ uri: path, ...claims }));
  const goElsewhere = (): void => void (refusals.seenAs = ELSEWHERE);
  const comeBack = (): void => void (refusals.seenAs = undefined);
  const restoreClock = (): void => void Object.assign(shift, { wallMs: 0, monotonicMs: 0 });

  const urlOf = (column: Column, path = live): string => {
    const isTls = column === 'https-flv' || column === 'h2-flv' || column === 'wss-flv';
    const origin = isTls
      ? `https://localhost:${String(house.ports.https)}`
      : `http://localhost:${String(house.ports.http)}`;
    return `${origin}${path}.flv`;
  };

  /** Ticket and proof in header fields. */
  function shown(
    claims: Claims,
    proof: Parameters<typeof house.credentials>[3] = {},
    change: (fields: Record<string, string>) => Record<string, string> = (fields) => fields,
  ): Cell {
    return async (column) => {
      const fields = await house.credentials(await ticket(claims), 'GET', urlOf(column), proof);
      return { path: live, headers: change(fields) };
    };
  }

  const withPass =
    (claims: Claims = {}): Cell =>
    async () => ({ path: live, query: `pass=${await passOf(claims)}` });

  const restoreOrderServer = (): void => {
    house.redemptions.answer = (_op, session) => ({
      session,
      expiresAt: null,
      mediaMsLeft: null,
      bytesLeft: null,
      leaseSeconds: 30,
    });
  };

  /** The order server says no when the access is to be taken. */
  function orderServerSays(code: Code, error: Error, more: Pick<Row, 'passSurvives'> = {}): Row {
    const before = (): void => {
      house.redemptions.answer = () => {
        throw error;
      };
    };
    const cells = inAll(withPass({ rights: COUNTED }));
    return { code, name: 'the order server says so', cells, before, after: restoreOrderServer, ...more };
  }

  async function untrusted(column: Column): Promise<Omit<Ask, 'ports'>> {
    const viewer = await world.newViewer();
    const forged = await world.ticketFor(viewer, { uri: live }, { signingKey: await generateSigningKey() });
    return { path: live, headers: await house.credentials({ viewer, ticket: forged }, 'GET', urlOf(column)) };
  }

  /** Used on a stream that is off air: the proof was good, and nobody was admitted. */
  async function replayed(column: Column): Promise<Omit<Ask, 'ports'>> {
    const path = newPath();
    const held = await ticket({ uri: path });
    const headers = await house.credentials(held, 'GET', urlOf(column, path));
    const first =
      column === 'https-flv' || column === 'h2-flv' || column === 'wss-flv' ? 'https-flv' : 'http-flv';
    await refusals.ask(first, { path, headers });
    return { path, headers };
  }

  async function used(): Promise<Omit<Ask, 'ports'>> {
    const path = newPath();
    const pass = await passOf({}, path);
    // For another path: that is the end of it.
    await refusals.ask('http-flv', { path: live, query: `pass=${pass}` });
    return { path, query: `pass=${pass}` };
  }

  return [
    {
      code: 'ticket_missing',
      name: 'neither ticket nor pass',
      cells: inAll(() => Promise.resolve({ path: live })),
    },
    {
      code: 'ticket_malformed',
      name: 'something else than a ticket',
      cells: byHeaders(() => Promise.resolve({ path: live, headers: { authorization: 'DPoP nonsense' } })),
    },
    { code: 'ticket_untrusted', name: 'signed with a key of somebody', cells: byHeaders(untrusted) },
    {
      code: 'ticket_expired',
      name: 'shown too late',
      cells: byHeaders(shown({ iat: nowSeconds() - 100, nbf: nowSeconds() - 100, exp: nowSeconds() - 1 })),
    },
    {
      code: 'ticket_expired',
      name: 'since the pass was given',
      cells: inAll(withPass({ exp: nowSeconds() + 300 })),
      before: () => void (shift.wallMs = 301_000),
      after: restoreClock,
    },
    {
      code: 'ticket_not_yet_valid',
      name: 'shown too early',
      cells: byHeaders(shown({ nbf: nowSeconds() + 600, exp: nowSeconds() + 3600 })),
    },
    {
      code: 'ticket_wrong_audience',
      name: 'for another server',
      cells: byHeaders(shown({ aud: ['ss-two'] })),
    },
    { code: 'ticket_wrong_uri', name: 'for another stream', cells: byHeaders(shown({ uri: '/live/other' })) },
    {
      code: 'ticket_wrong_uri',
      name: 'a pass for another stream',
      cells: inAll(async () => ({ path: live, query: `pass=${await passOf({}, newPath())}` })),
    },
    orderServerSays('ticket_revoked', new Denial('ticket_revoked')),
    {
      code: 'proof_missing',
      name: 'a bound ticket as Bearer',
      cells: byHeaders(
        shown({}, {}, ({ authorization = '' }) => ({
          authorization: authorization.replace('DPoP', 'Bearer'),
        })),
      ),
    },
    {
      code: 'proof_missing',
      name: 'no DPoP field',
      cells: byHeaders(shown({}, {}, ({ authorization = '' }) => ({ authorization }))),
    },
    {
      code: 'proof_invalid',
      name: 'for another URL',
      cells: byHeaders(shown({}, { url: 'http://localhost/other.flv' })),
    },
    {
      code: 'proof_nonce_required',
      name: 'a nonce of nobody',
      cells: byHeaders(shown({}, { nonce: 'strange' })),
    },
    { code: 'proof_replayed', name: 'the same proof again', cells: byHeaders(replayed) },
    {
      code: 'pass_invalid',
      name: 'unknown',
      cells: inAll(() => Promise.resolve({ path: live, query: `pass=${STRANGE_PASS}` })),
    },
    { code: 'pass_invalid', name: 'used before', cells: inAll(used) },
    {
      code: 'pass_invalid',
      name: 'too old',
      cells: inAll(withPass()),
      before: () => void (shift.monotonicMs = 61_000),
      after: restoreClock,
    },
    {
      code: 'transport_insecure',
      name: 'in the clear, from elsewhere',
      cells: butNot(withPass(), { rtmps: 'TLS', 'https-flv': 'TLS', 'h2-flv': 'TLS', 'wss-flv': 'TLS' }),
      before: goElsewhere,
      after: comeBack,
    },
    {
      code: 'rights_insufficient',
      name: 'of another address',
      cells: byHeaders(shown({ addr: '192.0.2.9' })),
    },
    {
      code: 'rights_insufficient',
      name: 'a pass from another address',
      cells: butNot(withPass({ addr: '127.0.0.1', transport: 'clear' }), {
        'https-flv': 'as HTTP',
        'h2-flv': 'as HTTP',
        'wss-flv': 'as WebSocket',
      }),
      before: goElsewhere,
      after: comeBack,
    },
    orderServerSays('rights_exhausted', new Denial('rights_exhausted')),
    orderServerSays('rights_concurrency', new Denial('rights_concurrency'), { passSurvives: true }),
    orderServerSays('order_server_unreachable', new Denial('order_server_unreachable'), {
      passSurvives: true,
    }),
    orderServerSays('internal', new Error('a fault with secrets in it')),
    {
      code: 'stream_offline',
      name: 'off air',
      cells: inAll(async () => {
        const path = newPath();
        return { path, query: `pass=${await passOf({}, path)}` };
      }),
      passSurvives: true,
    },
    {
      code: 'request_malformed',
      name: 'a query with something else',
      cells: inAll(() => Promise.resolve({ path: live, query: 'sign=1' })),
    },
    {
      code: 'request_malformed',
      name: 'two passes',
      cells: inAll(() => Promise.resolve({ path: live, query: `pass=${STRANGE_PASS}&pass=${STRANGE_PASS}` })),
    },
    {
      code: 'not_found',
      name: 'a path that is no stream',
      cells: butNot(() => Promise.resolve({ path: live, target: '/live/index.html' }), {
        rtmp: 'every name is that of a stream',
        rtmps: 'every name is that of a stream',
      }),
    },
    {
      code: 'method_not_allowed',
      name: 'PUT',
      cells: butNot(() => Promise.resolve({ path: live, method: 'PUT' }), {
        rtmp: ONE_METHOD,
        rtmps: ONE_METHOD,
        'ws-flv': ONE_METHOD,
        'wss-flv': ONE_METHOD,
      }),
    },
  ];
}
