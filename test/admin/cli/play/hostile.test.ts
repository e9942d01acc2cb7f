/** A server that means harm to who plays from it: what it says is bounded, and ends in a `PlayError`. */
import { beforeAll, describe, expect, it, test } from 'vitest';
import { createDialogue, type Dialogue, type PlayedLine } from '../../../../admin/cli/play/dialogue.ts';
import { PlayError } from '../../../../admin/cli/play/error.ts';
import type { Link } from '../../../../admin/cli/play/link.ts';
import { createRecording } from '../../../../admin/cli/play/recording.ts';
import { summarize } from '../../../../admin/cli/play/summary.ts';
import type { HeldTicket } from '../../../../admin/cli/play/tickets.ts';
import { systemClock } from '../../../../plugin/clock.ts';
import { createReceiptChain } from '../../../../plugin/receipts/chain.ts';
import { createKeyNonce, deriveRtspKeys } from '../../../../plugin/rtsp/keys.ts';
import type { RtspReply } from '../../../../plugin/rtsp/reader.ts';
import { formatKeyMgmtHeader, parseKeyMgmtHeader } from '../../../../plugin/srtp/index.ts';
import { acceptPskInit, createMikeyReplay } from '../../../../plugin/srtp/mikey/index.ts';
import { thumbprint } from '../../../../plugin/ticket/index.ts';
import { createTicketWorld } from '../../../support/tickets.ts';

const URL_ = 'rtsp://127.0.0.1/live/demo';
const SECRET = Buffer.alloc(32, 7);
const VIDEO = 'm=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=control:track=video\r\n';
let held: HeldTicket;

beforeAll(async () => {
  const { proofKey } = await (await createTicketWorld(systemClock)).newViewer();
  held = {
    ...{ ticket: 'a.b.c', uri: '/live/demo', expiresAt: 2e9, jkt: '', proofKey },
    openSecret: () => Promise.resolve(SECRET),
  };
});

interface Said {
  readonly lines?: string;
  readonly base?: string;
  readonly transport?: string;
}

/** A dialogue with a server that has the secret, and says what it likes. */
function talk({ lines = VIDEO, base = `${URL_}/`, transport = '' }: Said): Dialogue {
  const nonce = createKeyNonce();
  const { preShared: psk } = deriveRtspKeys(SECRET, nonce);
  const reply = (headers: Record<string, string>, body = ''): RtspReply => ({
    ...({ kind: 'reply', status: 200, cseq: 1 } as const),
    ...{ headers: new Map(Object.entries(headers)), body: Buffer.from(body) },
  });
  function answer(method: string, headers: Readonly<Record<string, string>>): RtspReply {
    if (method === 'DESCRIBE')
      return reply(
        { 'usher-nonce': nonce, 'content-base': base },
        `v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n${lines}`,
      );
    const [spec] = parseKeyMgmtHeader(headers['KeyMgmt'] ?? '');
    const { verification: data = Buffer.alloc(0) } = acceptPskInit(spec?.data ?? Buffer.alloc(0), {
      ...{ psk, nowMs: Date.now(), replay: createMikeyReplay(), ssrcs: new Map([[1, 9]]) },
    });
    return reply({ session: 'x', keymgmt: formatKeyMgmtHeader([{ data }]), transport });
  }
  const link: Link = {
    ...{ remoteAddress: '', localAddress: '', closed: new Promise<void>(() => undefined) },
    ...{ close: () => undefined, onPacket: () => undefined },
    ask: (method, _to, headers = {}) => Promise.resolve(answer(method, headers)),
  };
  return createDialogue(link, URL_, held);
}

it('however many lines are described, one of each kind is played', async () => {
  const sound = 'm=audio 0 RTP/SAVP 97\r\na=rtpmap:97 opus/48000/2\r\na=control:track=audio\r\n';
  const lines = await talk({ lines: VIDEO.repeat(500) + sound.repeat(500) }).describe();
  expect(lines.map(({ kind }) => kind)).toEqual(['video', 'audio']);
});

test.each([
  ['no clock', VIDEO.replace('90000', '0')],
  ['another clock', VIDEO.replace('90000', '1')],
  ['a payload type that no packet can have', VIDEO.replaceAll('96', '1096')],
  ['keys in the description, without SRTP', VIDEO.replace('SAVP', 'AVP')],
])('a line with %s is none', async (_what, lines) => {
  expect(await talk({ lines }).describe()).toEqual([]);
});

test.each<[string, Said]>([
  ['a base that is no URL', { base: 'nowhere' }],
  ['a control that is no URL', { lines: VIDEO.replace('track=video', 'rtsp://[') }],
])('%s cannot be read', async (_what, said) => {
  await expect(talk(said).describe()).rejects.toThrow(PlayError);
});

describe('ports of the server', () => {
  const portsOf = async (transport: string): Promise<unknown> => {
    const dialogue = talk({ transport });
    const [line] = await dialogue.describe();
    return (await dialogue.setUp(line as PlayedLine, '')).serverPorts;
  };
  it('are taken as they are said', async () => {
    expect(await portsOf('RTP/SAVP;unicast;server_port=5000-5001')).toEqual([5000, 5001]);
  });
  test.each(['99999-5', '0-1', '5000-65536', 'x'])('%s are none: nothing is sent there', async (ports) => {
    expect(await portsOf(`RTP/SAVP;unicast;server_port=${ports}`)).toBeUndefined();
  });
});

it('what waits for the beginning of the file is bounded: it begins', () => {
  const line = { kind: 'video', codec: 'VP8', clockRate: 90_000, payloadType: 96, control: '' } as const;
  let written = 0;
  // The other line never comes, and time stands still.
  const other = { ...line, kind: 'audio', codec: 'opus' } as const;
  const recording = createRecording(
    [line, other],
    ({ length }) => void (written += length),
    () => 0,
  );
  for (let sequence = 0; sequence < 600; sequence++) {
    const header = Buffer.from('80e0000000000000' + '00000001' + '10', 'hex');
    header.writeUInt16BE(sequence, 2);
    header.writeUInt32BE(sequence * 3000, 4);
    recording.rtp(line, Buffer.concat([header, Buffer.alloc(60_000)]));
  }
  expect(written).toBeGreaterThan(32 * 1024 * 1024);
});

describe('receipts', () => {
  const opening = {
    session: '019a0000-0000-7000-8000-000000000001',
    ticket: '019a0000-0000-7000-8000-000000000002',
    ...{ uri: '/live/demo', startedAt: 1_800_000_000 },
  };
  const receipts = [createReceiptChain(opening).next({ at: 1_800_000_005, mediaMs: 5000, bytes: 9 })];
  const told = async (...answers: object[]) =>
    (await summarize('over', 1, [], [...answers.map((answer) => JSON.stringify(answer)), ''])).receipts;

  it('keep the key that came with them when the last answer is missing', async () => {
    const key = held.proofKey.publicJwk;
    expect(await told({ receipts, key })).toMatchObject({
      ...{ key: thumbprint(key), signatures: 'checked', valid: false, problems: [{ code: 'unsigned' }] },
    });
  });

  it('with what is no key are not right, and the summary is there', async () => {
    expect(await told({ receipts, key: { kty: 'none' } })).toMatchObject({ key: 'unreadable', valid: false });
  });
});
