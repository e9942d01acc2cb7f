import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import postgres, { type Sql } from 'postgres';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { survivingLosses } from '../../admin/db/lost-connections.ts';

/** A message of PostgreSQL's protocol 3.0 (section 55.7 of its manual). */
function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}
const ready = (state: string): Buffer => message('Z', Buffer.from(state));

const DONE = message('C', Buffer.from('DONE\0'));
/** Parse and bind complete, no parameters, no rows. */
const PARSED = [message('1', Buffer.of()), message('t', Buffer.alloc(2)), message('n', Buffer.of())];
const BOUND = message('2', Buffer.of());

/** A database that answers queries with nothing, and drops the connection at `drop`. */
async function startDatabase() {
  const queries: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let started = false;
    socket
      .on('error', () => undefined)
      .on('data', (data) => {
        if (!started) {
          started = true;
          return void socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ready('I')]));
        }
        const kind = String.fromCharCode(data.readUInt8());
        if (kind !== 'Q' && kind !== 'P') return;
        // A statement's name comes first in Parse.
        const [text = '', parsed = ''] = data.toString('utf8', 5).split('\0');
        const query = kind === 'Q' ? text : parsed;
        queries.push(query);
        const state = /^(commit|rollback)$/.test(query) ? 'I' : 'T';
        if (query === 'drop') socket.destroy();
        else socket.write(Buffer.concat([...(kind === 'Q' ? [] : [...PARSED, BOUND]), DONE, ready(state)]));
      });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    queries,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe('a transaction that loses its connection', () => {
  let database: Awaited<ReturnType<typeof startDatabase>>;
  let client: Sql;
  const uncaught: unknown[] = [];
  const note = (error: unknown): void => void uncaught.push(error);

  beforeEach(async () => {
    database = await startDatabase();
    const { port } = database;
    client = survivingLosses(
      postgres({
        host: '127.0.0.1',
        port,
        user: 'u',
        database: 'd',
        max: 1,
        fetch_types: false,
        onnotice: () => undefined,
      }),
    );
    uncaught.length = 0;
    process.on('uncaughtExceptionMonitor', note);
  });
  afterEach(async () => {
    await client.end({ timeout: 0 });
    database.close();
    process.off('uncaughtExceptionMonitor', note);
  });

  /** Whatever is written late has been by then. */
  async function settled(): Promise<void> {
    for (let turns = 0; turns < 5; turns++) await nextTurn();
    expect(uncaught).toEqual([]);
  }

  it('rejects, and the process lives', async () => {
    const lost = client.begin((tx) => tx.unsafe('drop'));
    await expect(lost).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
    await settled();
    expect(database.queries).toEqual(['begin ', 'drop']);
  });

  it('rejects inside a savepoint', async () => {
    const lost = client.begin((tx) => tx.savepoint((part) => part.unsafe('drop')));
    await expect(lost).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
    await settled();
  });

  it('refuses the statements that its work still has', async () => {
    const statements: unknown[] = [];
    const done = Promise.withResolvers<undefined>();
    const lost = client.begin(async (tx) => {
      await tx.unsafe('drop').catch(() => undefined);
      await nextTurn();
      statements.push(
        await Promise.resolve()
          .then(() => tx.unsafe('late'))
          .catch((error: unknown) => error),
      );
      done.resolve(undefined);
    });
    await expect(lost).rejects.toMatchObject({ code: 'CONNECTION_CLOSED' });
    await done.promise;
    await settled();
    expect(statements).toEqual([expect.objectContaining({ code: 'CONNECTION_CLOSED' })]);
    expect(database.queries).not.toContain('late');
  });

  it('leaves others as they are: they commit, and roll back when their work fails', async () => {
    expect(await client.begin(() => Promise.resolve(7))).toBe(7);
    await expect(client.begin(() => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(database.queries).toEqual(['begin ', 'commit', 'begin ', 'rollback']);
  });
});
