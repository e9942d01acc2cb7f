import { expect, it } from 'vitest';
import { createWaitingRoom } from '../../../../plugin/adapters/rtsp/waiting.ts';

it('one network has a share of the room, whatever address of it asks; this machine has all of it', () => {
  const room = createWaitingRoom({ max: 5, maxOfNetwork: 2 });
  const [first] = [room.enter('2001:db8::1'), room.enter('2001:db8::2')];
  expect(room.enter('2001:db8::3')).toBeUndefined();
  const leaves = [room.enter('192.0.2.1'), room.enter(undefined), room.enter(undefined)];
  expect(leaves).not.toContain(undefined);
  expect(room.enter('192.0.2.1')).toBeUndefined();
  first?.();
  first?.();
  expect(room.enter('2001:db8::3')).toBeDefined();
  expect(room.enter(undefined)).toBeUndefined();
});
