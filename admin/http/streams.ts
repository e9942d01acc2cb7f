/** `POST /v1/streams`: what registered streaming servers have on the air. */
import { MAX_STREAMS_REPORT_BYTES, streamsReportSchema } from '../../plugin/contract.ts';
import type { Services } from '../context.ts';
import { replaceStreams } from '../trust/live-streams.ts';

/** Verifies a report and puts it in the place of its sender's last one. @throws Denial. */
export async function takeStreams(services: Services, jws: string): Promise<object> {
  const { db, messages, clock } = services;
  const { iss, streams } = await messages.read(jws, {
    typ: 'streams+jwt',
    schema: streamsReportSchema,
    maxChars: MAX_STREAMS_REPORT_BYTES,
  });
  await db.transaction((tx) => replaceStreams(tx, iss, streams, clock.nowMs()));
  return {};
}
