/** Outcome x protocol, for those who want to publish. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Denial, REFUSALS, type Code } from '../../../../plugin/errors.ts';
import { eventually, COLUMNS, openReader, type Ask, type Column } from '../../../support/flv-readers.ts';
import { newPath, STREAM_KEY } from '../../../support/guarded-nms.ts';
import { publishTestCard, type Encoder } from '../../../support/stack.ts';
import { startRefusalHouse, type RefusalHouse } from './refusals.ts';

type PublishAsk = Omit<Ask, 'ports' | 'path' | 'command'>;

const OTHER_KEY = `sk_${'x'.repeat(22)}`;
const ONE_METHOD = 'there is one way to ask';
const EVERY_NAME = 'every name is that of a stream';
const live = newPath();
let refusals: RefusalHouse;
let encoder: Encoder;

beforeAll(async () => {
  refusals = await startRefusalHouse(100);
  encoder = publishTestCard(`rtmp://127.0.0.1:${String(refusals.house.ports.rtmp)}${live}?key=${STREAM_KEY}`);
  await eventually(() => refusals.house.guard.streams()[0]?.health.video ?? undefined);
});

beforeEach(() => {
  refusals.streamKeyAnswer = undefined;
});

afterAll(async () => {
  await encoder.stop();
  await refusals.house.stop();
});

interface Row {
  readonly code: Code;
  readonly name: string;
  readonly ask: PublishAsk;
  /** Why it cannot come about there. */
  readonly not?: Readonly<Partial<Record<Column, string>>>;
  /** Default: a stream that nobody publishes. */
  readonly path?: string;
  readonly orderServerThrows?: Error;
}

const ROWS: readonly Row[] = [
  { code: 'stream_key_invalid', name: 'no key', ask: {} },
  { code: 'stream_key_invalid', name: 'another key', ask: { query: `key=${OTHER_KEY}` } },
  { code: 'stream_key_invalid', name: 'a key that is too short', ask: { query: 'key=short' } },
  {
    code: 'stream_key_invalid',
    name: 'another key for a busy stream',
    ask: { query: `key=${OTHER_KEY}` },
    path: live,
  },
  { code: 'stream_busy', name: 'somebody publishes', ask: { query: `key=${STREAM_KEY}` }, path: live },
  { code: 'request_malformed', name: 'a pass', ask: { query: `pass=ps_${'0'.repeat(22)}` } },
  { code: 'request_malformed', name: 'a key and more', ask: { query: `key=${STREAM_KEY}&sign=1` } },
  {
    code: 'order_server_unreachable',
    name: 'nobody can say if the key is good',
    ask: { query: `key=${STREAM_KEY}` },
    orderServerThrows: new Denial('order_server_unreachable'),
  },
  {
    code: 'internal',
    name: 'a fault',
    ask: { query: `key=${STREAM_KEY}` },
    orderServerThrows: new Error('with secrets in it'),
  },
  {
    code: 'not_found',
    name: 'a path that is no stream',
    ask: { target: '/live/upload' },
    not: { rtmp: EVERY_NAME, rtmps: EVERY_NAME },
  },
  {
    code: 'method_not_allowed',
    name: 'PUT',
    ask: { method: 'PUT', query: `key=${STREAM_KEY}` },
    not: { rtmp: ONE_METHOD, rtmps: ONE_METHOD, 'ws-flv': ONE_METHOD, 'wss-flv': ONE_METHOD },
  },
];

/** Codes that no publisher is ever told. */
const NOT_FOR_PUBLISHERS =
  /^(?:ticket_|proof_|pass_|device_|rights_|transport_|stream_offline|offer_|sdp_|session_|media_lost|precondition_|unsupported_|body_too|server_untrusted|enrolment_|tls_|message_|rate_|overloaded|unauth|credentials_|forbidden|input_|conflict|idempotency_|funds_|not_on_sale|code_invalid|payment_)/;

test('every code is a row, or one that has to do with playing or with other doors, and not both', () => {
  const inTable = new Set<string>(ROWS.map(({ code }) => code));
  for (const code of Object.keys(REFUSALS)) {
    expect([code, inTable.has(code)]).toEqual([code, !NOT_FOR_PUBLISHERS.test(code)]);
  }
});

describe('a publisher is refused, and the host hears nothing of it', () => {
  test.each(ROWS)('$code: $name', async ({ code, ask, not = {}, path, orderServerThrows }) => {
    if (orderServerThrows !== undefined) {
      refusals.streamKeyAnswer = () => {
        throw orderServerThrows;
      };
    }
    const columns = COLUMNS.filter((column) => not[column] === undefined);
    const cells = columns.map((column) => {
      const whole = { ...ask, path: path ?? newPath(), command: 'publish' as const };
      return [column, () => Promise.resolve(whole)] as const;
    });
    const viewersBefore = refusals.house.guard.streams();
    await refusals.expectRefused(code, Object.fromEntries(cells));
    expect(refusals.house.guard.streams().map(({ uri }) => uri)).toEqual(viewersBefore.map(({ uri }) => uri));
  });
});

/** FLV header, and no more. */
const FLV_HEAD = Buffer.from('464c5601050000000900000000', 'hex');

test.each(['rtmp', 'rtmps', 'ws-flv', 'wss-flv'] as const)(
  'with the right key %s gets a stream on the air: the table can fail',
  async (column) => {
    const { ports, guard } = refusals.house;
    const path = newPath();
    const reader = openReader(column, { ports, path, query: `key=${STREAM_KEY}`, command: 'publish' });
    if (column.startsWith('rtmp'))
      expect(await reader.answer).toMatchObject({ rtmpCode: 'NetStream.Publish.Start' });
    await eventually(() => guard.streams().some(({ uri }) => uri === path));
    reader.destroy();
    await reader.ended;
  },
);

test('with the right key a POST gets a stream on the air', async () => {
  const { ports, guard } = refusals.house;
  const path = newPath();
  const aborter = new AbortController();
  const init: RequestInit & { duplex: 'half' } = {
    method: 'POST',
    body: new ReadableStream({ start: (controller) => controller.enqueue(FLV_HEAD) }),
    duplex: 'half',
    signal: aborter.signal,
  };
  const url = `http://127.0.0.1:${String(ports.http)}${path}.flv?key=${STREAM_KEY}`;
  const posting = fetch(url, init).catch(() => undefined);
  await eventually(() => guard.streams().some(({ uri }) => uri === path));
  aborter.abort();
  await posting;
});

test('the stream that was on the air all the time has had one publisher', () => {
  const admitted = refusals.house.log.lines.filter(
    (line) => line.includes('publisher admitted') && line.includes(live),
  );
  expect(admitted).toHaveLength(1);
});
