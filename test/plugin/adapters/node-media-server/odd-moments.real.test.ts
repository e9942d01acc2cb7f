/** Publishers whose end, or whose trouble, comes in the middle of being let in: the stream must be free afterwards. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, test } from 'vitest';
import { eventually, openReader } from '../../../support/flv-readers.ts';
import { newPath, STREAM_KEY } from '../../../support/guarded-nms.ts';
import { startRefusalHouse, type RefusalHouse } from './refusals.ts';

const PROTOCOLS = ['rtmp', 'http-flv', 'h2-flv', 'ws-flv'] as const;
type Protocol = (typeof PROTOCOLS)[number];

let refusals: RefusalHouse;

beforeAll(async () => {
  refusals = await startRefusalHouse(100);
});

beforeEach(() => {
  refusals.streamKeyAnswer = undefined;
});

afterAll(() => refusals.house.stop());

/** Not by a client library: those do not let go in the middle of a handshake. */
function sendHead(head: string): () => Promise<void> {
  const socket = connect(refusals.house.ports.http, '127.0.0.1');
  const closed = once(socket.on('error', () => undefined).resume(), 'close');
  socket.write(`${head}\r\n`);
  return async () => {
    socket.destroy();
    await closed;
  };
}

/** Asks to publish with the right key, sends nothing, and can go. */
function beginPublishing(protocol: Protocol, path: string): () => Promise<void> {
  const { ports } = refusals.house;
  const target = `${path}.flv?key=${STREAM_KEY}`;
  switch (protocol) {
    case 'rtmp': {
      const query = `key=${STREAM_KEY}`;
      const reader = openReader('rtmp', { ports, path, query, command: 'publish' });
      return async () => {
        reader.destroy();
        await reader.ended;
      };
    }
    case 'http-flv':
      return sendHead(`POST ${target} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n`);
    case 'ws-flv': {
      const key = Buffer.alloc(16).toString('base64');
      const upgrade = 'connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n';
      const fields = `${upgrade}sec-websocket-key: ${key}\r\nsec-websocket-protocol: publisher\r\n`;
      return sendHead(`GET ${target} HTTP/1.1\r\nhost: localhost\r\n${fields}`);
    }
    case 'h2-flv': {
      const client = connectHttp2(`https://localhost:${String(ports.https)}`, { rejectUnauthorized: false });
      const closed = once(
        client.on('error', () => undefined),
        'close',
      );
      const stream = client.request({ ':method': 'POST', ':path': target }, { endStream: false });
      stream.on('error', () => undefined);
      return async () => {
        client.destroy();
        await closed;
      };
    }
  }
}

/** The stream is nobody's: another publisher gets it. */
async function expectFree(path: string): Promise<void> {
  const { guard } = refusals.house;
  const isOnAir = (): boolean => guard.streams().some(({ uri }) => uri === path);
  await eventually(() => !isOnAir());
  const goAway = beginPublishing('rtmp', path);
  await eventually(isOnAir);
  await goAway();
}

describe.each(PROTOCOLS)('a publisher over %s', (protocol) => {
  test.each([
    ['before the answer', true],
    ['with the answer', false],
  ])('that goes while his key is checked, %s, leaves the stream free', async (_when, isNoticed) => {
    const path = newPath();
    const [asked, decided] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    refusals.streamKeyAnswer = () => {
      asked.resolve(undefined);
      return decided.promise;
    };
    const goAway = beginPublishing(protocol, path);
    await asked.promise;
    await goAway();
    // The server hears of the end of a connection in the turn after its peer.
    if (isNoticed) await new Promise((turn) => setTimeout(turn, 50));
    refusals.streamKeyAnswer = undefined;
    decided.resolve(undefined);
    await expectFree(path);
  });

  test('who is put on the air while the host’s own listener throws is refused, and leaves the stream free', async () => {
    const path = newPath();
    let thrown = 0;
    refusals.house.nms.on('postPublish', ({ streamPath }) => {
      if (streamPath !== path || thrown > 0) return;
      thrown++;
      throw new Error('a listener of the operator');
    });
    const goAway = beginPublishing(protocol, path);
    await eventually(() => thrown === 1);
    await expectFree(path);
    await goAway();
  });
});
