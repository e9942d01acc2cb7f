/** `npm run bench -- NAME [--json] [--quick] [--minutes N]`. Exit status 1 when a bar was missed. */
import { parseArgs } from 'node:util';
import { printFigure, type Bench } from './harness.ts';

const BENCHES: Record<string, () => Promise<{ bench: Bench }>> = {
  ttff: () => import('./ttff.ts'),
  tap: () => import('./tap.ts'),
  flv: () => import('./flv.ts'),
  viewers: () => import('./viewers.ts'),
  delay: () => import('./delay.ts'),
  admit: () => import('./admit.ts'),
  receipts: () => import('./receipts.ts'),
  spool: () => import('./spool.ts'),
  srtp: () => import('./srtp.ts'),
  orders: () => import('./orders.ts'),
  stops: () => import('./stops.ts'),
  sessions: () => import('./sessions.ts'),
  'sessions-churn': () => import('./sessions-churn.ts'),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean' }, quick: { type: 'boolean' }, minutes: { type: 'string' } },
});
const [name] = positionals;
const load = name === undefined ? undefined : BENCHES[name];
const minutes = values.minutes === undefined ? undefined : Number(values.minutes);
if (
  name === undefined ||
  load === undefined ||
  (minutes !== undefined && !(minutes >= 0 && minutes <= 1440))
) {
  console.error(
    `usage: npm run bench -- NAME [--json] [--quick] [--minutes N], where NAME is one of: ${Object.keys(BENCHES).join(', ')}`,
  );
  process.exit(2);
}
const { bench } = await load();
console.log(`${bench.name}: ${bench.what}`);
const progress = (line: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${line}`);
};
const figures = await bench.run(progress, values.quick === true, minutes);
if (process.stderr.isTTY) process.stderr.write('\r\u001b[K');
for (const figure of figures) console.log(printFigure(figure));
if (values.json === true) console.log(JSON.stringify({ bench: name, figures }));
process.exit(figures.every(({ ok }) => ok !== false) ? 0 : 1);
