/** How fast batches of receipts are taken, beside COPY of the same rows into a table like that of the receipts. */
import { randomUUID } from 'node:crypto';
import postgres from 'postgres';
import { openDatabase } from '../admin/db/connect.ts';
import { storeReceipts } from '../admin/receipts/store.ts';
import { createMessageReader, useMessage } from '../admin/trust/messages.ts';
import { registerServer, type StreamingServer } from '../admin/trust/servers.ts';
import { systemClock } from '../plugin/clock.ts';
import { MAX_RECEIPTS_PER_BATCH, receiptBatchSchema, type Receipt } from '../plugin/contract.ts';
import { createReceiptChain, receiptHash } from '../plugin/receipts/chain.ts';
import { generateSealingKey, generateSigningKey, signServerMessage } from '../plugin/ticket/index.ts';
import { startPostgres } from '../test/support/postgres.ts';
import { fillDataset, sizesOf } from '../tools/dataset/fill.ts';
import { compared, interleave, type Bench, type Figure } from './harness.ts';

const ISSUER = 'http://localhost:4000';
const SERVER_ID = 'dataset-1';
const MAX_CHARS = 512 * 1024;
/** Batches of one run: every viewing has that many receipts more. */
const BATCHES = 10;

/** A table with the columns, indexes and references of `receipts`. */
const COPY_TABLE = `
  create table receipts_copied (like receipts including all);
  alter table receipts_copied
    add foreign key (session_id) references media_sessions (id),
    add foreign key (ticket_id) references tickets (jti),
    add foreign key (batch_id) references receipt_batches (id)`;

/** A line of COPY's text format. */
const lineOf = (values: readonly (string | number)[]): string =>
  `${values.map((value) => String(value).replaceAll('\\', '\\\\').replaceAll('\t', '\\t')).join('\t')}\n`;

async function run(progress: (line: string) => void, quick: boolean): Promise<Figure[]> {
  const cluster = await startPostgres();
  const database = await openDatabase({ kind: 'postgres', url: cluster.url });
  const sql = postgres(cluster.url, { max: 1, onnotice: () => undefined });
  try {
    await fillDataset(sql, sizesOf(0.01), () => undefined);
    await sql.unsafe(COPY_TABLE);
    const { db } = database;
    const [key, sealing] = await Promise.all([generateSigningKey(), generateSealingKey()]);
    const server = {
      id: SERVER_ID,
      publicUrl: 'https://media.example',
      signingKey: key.publicJwk,
      sealingKey: sealing.publicJwk,
    } as StreamingServer;
    await registerServer(db, server, new Date());
    const messages = createMessageReader(db, ISSUER, systemClock);
    const tickets = await sql<{ jti: string; uri: string }[]>`
      select jti, uri from tickets limit ${MAX_RECEIPTS_PER_BATCH}`;
    const [batch] = await sql<{ id: string }[]>`select id from receipt_batches limit 1`;
    if (batch === undefined) throw new Error('the dataset has no batch');

    /** Viewings in the middle of being watched, and the batches that they send next; each a receipt of each. */
    const prepare = (): Receipt[][] => {
      const startedAt = Math.floor(Date.now() / 1000) - 5 * (BATCHES + 1);
      const chains = tickets.map(({ jti, uri }) =>
        createReceiptChain({ session: randomUUID(), ticket: jti, uri, startedAt }),
      );
      return Array.from({ length: BATCHES + 1 }, (_, seq) =>
        chains.map((chain) =>
          chain.next({ at: startedAt + 5 * seq, mediaMs: 5000 * seq, bytes: 1_000_000 * seq }),
        ),
      );
    };
    const take = async (jws: string): Promise<void> => {
      const { message, use } = await messages.verify(jws, {
        typ: 'receipts+jwt',
        schema: receiptBatchSchema,
        maxChars: MAX_CHARS,
      });
      const nowMs = Date.now();
      const { answer } = await db.transaction(async (tx) => {
        await useMessage(tx, use, nowMs);
        return storeReceipts(tx, { serverId: message.iss, receipts: message.receipts, jws }, nowMs);
      });
      if (answer.refused.length > 0) throw new Error(`refused: ${answer.refused[0]?.reason ?? ''}`);
    };
    const sign = (receipts: readonly Receipt[]) =>
      signServerMessage({
        typ: 'receipts+jwt',
        payload: { receipts },
        iss: SERVER_ID,
        aud: ISSUER,
        key,
        clock: systemClock,
      });

    /** Receipts a second, from the signed text to the commit. */
    const ingest = async (): Promise<number> => {
      const [first = [], ...rest] = prepare();
      await take(await sign(first));
      const texts = await Promise.all(rest.map(sign));
      const startedMs = performance.now();
      for (const text of texts) await take(text);
      return (BATCHES * tickets.length * 1000) / (performance.now() - startedMs);
    };
    /** Receipts a second, one COPY for each batch. */
    const copy = async (): Promise<number> => {
      const [first = [], ...rest] = prepare();
      // The sessions that the rows refer to.
      await take(await sign(first));
      const now = new Date().toISOString();
      const texts = rest.map((receipts) =>
        receipts
          .map((receipt) =>
            lineOf([
              receipt.session,
              receipt.seq,
              receipt.ticket,
              batch.id,
              receiptHash(receipt),
              JSON.stringify(receipt),
              now,
            ]),
          )
          .join(''),
      );
      const startedMs = performance.now();
      for (const text of texts) {
        const sink = await sql`
          copy receipts_copied (session_id, seq, ticket_id, batch_id, hash, body, stored_at) from stdin`.writable();
        await new Promise<void>((resolve, reject) => {
          sink.once('error', reject).once('finish', resolve);
          sink.end(text);
        });
      }
      return (BATCHES * tickets.length * 1000) / (performance.now() - startedMs);
    };

    await interleave(1, ingest, copy, () => undefined);
    const { a, b } = await interleave(quick ? 3 : 15, ingest, copy, progress);
    return [compared('receipts taken, beside COPY', '1/s', a, b, { atLeast: 0.3 })];
  } finally {
    await sql.end();
    await database.close();
    await cluster.stop();
  }
}

export const bench: Bench = {
  name: 'receipts',
  what: `signed batches of ${String(MAX_RECEIPTS_PER_BATCH)} receipts, one of each viewing, from text to commit; beside COPY of the same rows`,
  run,
};
