/** One replica: orders for a while, over as many connections as it is told, and prints how many a second. */
import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { openDatabase } from '../admin/db/connect.ts';
import { benchAuthority, placeOne, type OrdersWorld } from './orders-world.ts';

const [, , fixture = '', seconds = '1', connections = '1'] = process.argv;
const world = JSON.parse(await readFile(fixture, 'utf8')) as OrdersWorld & { readonly url: string };
const { db, close } = await openDatabase({ kind: 'postgres', url: world.url });
const authority = await benchAuthority(db);
let placed = 0;
const startedMs = performance.now();
const untilMs = startedMs + Number(seconds) * 1000;

async function order(): Promise<void> {
  while (performance.now() < untilMs) {
    const customer = world.customers[randomInt(world.customers.length)];
    if (customer === undefined) throw new Error('there are no customers');
    await placeOne(db, authority, world, customer, placed);
    placed++;
  }
}

await Promise.all(Array.from({ length: Number(connections) }, order));
const perSecond = placed / ((performance.now() - startedMs) / 1000);
await close();
console.log(perSecond.toFixed(1));
