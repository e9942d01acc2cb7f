/** How long what was written has been waiting. */
import { expect, it } from 'vitest';
import { createSocketLink } from '../../../../plugin/adapters/rtsp/outlets.ts';

it('what was written before all had left says nothing of what waits now, though nobody asked meanwhile', () => {
  let nowMs = 0;
  const socket = { writableLength: 0, write: () => true };
  const link = createSocketLink(socket, { monotonicMs: () => nowMs });
  link.write(Buffer.alloc(100));
  nowMs = 10;
  link.write(Buffer.alloc(100));
  socket.writableLength = 100;
  nowMs = 2000;
  // The mark of the second one: one was set 10 ms before, and there is another only because that one was forgotten.
  expect(link.waitedMs()).toBe(1990);
});
