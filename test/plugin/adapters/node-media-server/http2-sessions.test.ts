import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { closeIdleSessions } from '../../../../plugin/adapters/node-media-server/http2-sessions.ts';

function setUp() {
  const server = new EventEmitter();
  const restore = closeIdleSessions(server, 30_000);
  const state = { destroyed: 0, idleMs: 0, onIdle: (): void => undefined };
  const session = Object.assign(new EventEmitter(), {
    destroy: () => (state.destroyed += 1),
    setTimeout(ms: number, listener: () => void) {
      state.idleMs = ms;
      state.onIdle = listener;
    },
  });
  server.emit('session', session);
  return { server, session, state, restore };
}

test('a connection on which nothing goes on is ended', () => {
  const { state } = setUp();
  expect(state.idleMs).toBe(30_000);
  state.onIdle();
  expect(state.destroyed).toBe(1);
});

test('one that carries a viewer is left, and ended when the viewer has gone', () => {
  const { session, state } = setUp();
  const [one, two] = [new EventEmitter(), new EventEmitter()];
  session.emit('stream', one);
  session.emit('stream', two);
  one.emit('close');
  state.onIdle();
  expect(state.destroyed).toBe(0);
  two.emit('close');
  state.onIdle();
  expect(state.destroyed).toBe(1);
});

test('afterwards connections are nobody’s business', () => {
  const { server, restore } = setUp();
  restore();
  expect(server.listenerCount('session')).toBe(0);
});
