/** Outcome x protocol, for those who want to play. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REFUSALS, type Code } from '../../../../plugin/errors.ts';
import { eventually, COLUMNS, openReader, type Ask, type Column } from '../../../support/flv-readers.ts';
import { newPath, STREAM_KEY } from '../../../support/guarded-nms.ts';
import { publishTestCard, type Encoder } from '../../../support/stack.ts';
import { playRows, type Row } from './play-refusals.ts';
import { ELSEWHERE, startRefusalHouse, type RefusalHouse } from './refusals.ts';

/** One session may run, so that a second one is too many. */
const MAX_SESSIONS = 1;
const live = newPath();
let refusals: RefusalHouse;
let encoder: Encoder;

const publish = (path: string): Encoder =>
  publishTestCard(`rtmp://127.0.0.1:${String(refusals.house.ports.rtmp)}${path}?key=${STREAM_KEY}`);

const isOnAir = (path: string): boolean =>
  refusals.house.guard.streams().some(({ uri, health }) => uri === path && health.video !== null);

beforeAll(async () => {
  refusals = await startRefusalHouse(MAX_SESSIONS);
  encoder = publish(live);
  await eventually(() => isOnAir(live));
});

afterAll(async () => {
  await encoder.stop();
  await refusals.house.stop();
});

/** Codes that no player of FLV or RTMP is ever told. */
const NOT_FOR_PLAYERS: Partial<Record<Code, string>> = {
  device_blocked: 'there is no proof of a device yet; a ticket for one is rights_insufficient',
  stream_key_invalid: 'publishing: table-publish',
  stream_busy: 'publishing: table-publish',
  offer_unsupported: 'WHEP',
  sdp_malformed: 'WHEP',
  session_ended: "requests to a session's URL: WHEP",
  media_lost: "requests to a session's URL: WHEP",
  precondition_required: "requests to a session's URL: WHEP",
  precondition_failed: "requests to a session's URL: WHEP",
  unsupported_media_type: 'POST /pass',
  body_too_large: 'POST /pass',
  server_untrusted: 'messages between servers',
  message_replayed: 'messages between servers',
  enrolment_refused: 'messages between servers',
  tls_required: 'messages between servers',
  rate_limited: "the order server's accounts",
  unauthenticated: "the order server's accounts",
  credentials_invalid: "the order server's accounts",
  forbidden: "the order server's accounts",
  input_invalid: "the order server's API",
  conflict: "the order server's API",
  idempotency_conflict: "the order server's API",
  not_on_sale: "the order server's API",
  code_invalid: "the order server's API",
  payment_declined: "the order server's API",
  funds_insufficient: "the order server's API",
};

/** Rows are named before the house stands, and made of it afterwards. */
let rows: readonly Row[] = [];
beforeAll(() => {
  rows = playRows(refusals, live);
});

const ROWS: readonly (readonly [Code, string])[] = [
  ['ticket_missing', 'neither ticket nor pass'],
  ['ticket_malformed', 'something else than a ticket'],
  ['ticket_untrusted', 'signed with a key of somebody'],
  ['ticket_expired', 'shown too late'],
  ['ticket_expired', 'since the pass was given'],
  ['ticket_not_yet_valid', 'shown too early'],
  ['ticket_wrong_audience', 'for another server'],
  ['ticket_wrong_uri', 'for another stream'],
  ['ticket_wrong_uri', 'a pass for another stream'],
  ['ticket_revoked', 'the order server says so'],
  ['proof_missing', 'a bound ticket as Bearer'],
  ['proof_missing', 'no DPoP field'],
  ['proof_invalid', 'for another URL'],
  ['proof_nonce_required', 'a nonce of nobody'],
  ['proof_replayed', 'the same proof again'],
  ['pass_invalid', 'unknown'],
  ['pass_invalid', 'used before'],
  ['pass_invalid', 'too old'],
  ['transport_insecure', 'in the clear, from elsewhere'],
  ['rights_insufficient', 'of another address'],
  ['rights_insufficient', 'a pass from another address'],
  ['rights_exhausted', 'the order server says so'],
  ['rights_concurrency', 'the order server says so'],
  ['order_server_unreachable', 'the order server says so'],
  ['internal', 'the order server says so'],
  ['stream_offline', 'off air'],
  ['request_malformed', 'a query with something else'],
  ['request_malformed', 'two passes'],
  ['not_found', 'a path that is no stream'],
  ['method_not_allowed', 'PUT'],
];

test('every code is a row, or is said to have none, and not both', () => {
  const inTable = new Set([...rows.map(({ code }) => code), 'overloaded']);
  const listed = Object.keys(NOT_FOR_PLAYERS);
  expect([...inTable, ...listed].sort()).toEqual(Object.keys(REFUSALS).sort());
  expect(rows.map(({ code, name }) => [code, name])).toEqual(ROWS);
});

describe('a player is refused, and gets not one byte of media', () => {
  test.each(ROWS)('%s: %s', async (code, name) => {
    const row = rows.find((one) => one.code === code && one.name === name);
    if (row === undefined) throw new Error('no such row');
    const asks = new Map<Column, Omit<Ask, 'ports'>>();
    for (const column of COLUMNS) {
      const cell = row.cells[column];
      if (typeof cell === 'string') expect(cell).not.toBe('');
      else asks.set(column, await cell(column));
    }
    const cells = Object.fromEntries([...asks].map(([column, ask]) => [column, () => Promise.resolve(ask)]));
    try {
      row.before?.();
      await refusals.expectRefused(code, cells);
      // With a pass that is still good the same is said again; one that was taken would be invalid.
      if (row.passSurvives === true) await refusals.expectRefused(code, cells);
    } finally {
      row.after?.();
    }
  });

  test('overloaded: as many watch as may', async () => {
    const { house } = refusals;
    const query = async (): Promise<string> => `pass=${await house.pass(live)}`;
    const first = openReader('http-flv', { ports: house.ports, path: live, query: await query() });
    expect(await first.answer).toMatchObject({ status: 200 });
    const asks = await Promise.all(
      COLUMNS.map(async (column) => [column, { path: live, query: await query() }] as const),
    );
    const cells = Object.fromEntries(asks.map(([column, ask]) => [column, () => Promise.resolve(ask)]));
    await refusals.expectRefused('overloaded', cells);
    first.destroy();
    await eventually(() => house.gate.sessions().length === 0);
    // The passes are good still.
    const [column, ask] = asks[0] ?? [];
    if (column === undefined || ask === undefined) throw new Error('no columns');
    const later = openReader(column, { ports: house.ports, ...ask });
    expect(await later.answer).toMatchObject({ code: undefined });
    later.destroy();
    await eventually(() => house.gate.sessions().length === 0);
  });
});

test('the same asks are granted where nothing stands against them: the table can fail', async () => {
  const { house } = refusals;
  for (const column of COLUMNS) {
    const reader = openReader(column, {
      ports: house.ports,
      path: live,
      query: `pass=${await house.pass(live)}`,
    });
    expect(await reader.answer, column).toMatchObject({ code: undefined });
    await eventually(() => reader.messages.length > 0);
    reader.destroy();
    await eventually(() => house.gate.sessions().length === 0);
  }
});

test('a ticket for media in the clear is good from elsewhere', async () => {
  const { house } = refusals;
  const pass = await house.pass(live, await house.ticket({ uri: live, transport: 'clear' }));
  refusals.seenAs = ELSEWHERE;
  const reader = openReader('rtmp', { ports: house.ports, path: live, query: `pass=${pass}` });
  expect(await reader.answer).toMatchObject({ code: undefined });
  refusals.seenAs = undefined;
  reader.destroy();
  await eventually(() => house.gate.sessions().length === 0);
});

test.each(['rtmp', 'http-flv', 'ws-flv'] as const)(
  'an IPv4 viewer on an IPv6 listener has the address of his ticket: %s',
  async (column) => {
    const { house } = refusals;
    const pass = await house.pass(live, await house.ticket({ uri: live, addr: '127.0.0.1' }));
    refusals.seenAs = '::ffff:127.0.0.1';
    const reader = openReader(column, { ports: house.ports, path: live, query: `pass=${pass}` });
    expect(await reader.answer).toMatchObject({ code: undefined });
    refusals.seenAs = undefined;
    reader.destroy();
    await eventually(() => house.gate.sessions().length === 0);
  },
);

test('a pass that came too early is good when the stream is on the air', async () => {
  const { house } = refusals;
  const path = newPath();
  const query = `pass=${await house.pass(path)}`;
  const early = await refusals.ask('ws-flv', { path, query });
  expect(early).toMatchObject({ status: 409, code: 'stream_offline' });
  const late = publish(path);
  await eventually(() => isOnAir(path));
  const reader = openReader('ws-flv', { ports: house.ports, path, query });
  expect(await reader.answer).toMatchObject({ status: 200 });
  reader.destroy();
  await late.stop();
  await eventually(() => house.gate.sessions().length === 0);
});

test('no pass, stream key or message of a fault has come into the log', () => {
  const text = JSON.stringify(refusals.house.log.lines);
  expect(text).not.toMatch(/ps_[A-Za-z0-9_-]{22}/);
  expect(text).not.toContain(STREAM_KEY);
  expect(text).toContain('refused');
});
