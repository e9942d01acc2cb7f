import type { types } from 'mediasoup';
import { describe, expect, it } from 'vitest';
import { formOf } from '../../../../plugin/adapters/mediasoup/codecs.ts';
import type { RouterProfile } from '../../../../plugin/adapters/mediasoup/match.ts';
import { createRouterPool } from '../../../../plugin/adapters/mediasoup/routers.ts';

interface FakeRouter {
  readonly codecs: types.RouterRtpCodecCapability[];
  closed: boolean;
  close(): void;
}

function fakeWorker(): { worker: types.Worker; routers: FakeRouter[]; fail: boolean } {
  const state = { routers: [] as FakeRouter[], fail: false };
  const createRouter = async (options: types.RouterOptions): Promise<FakeRouter> => {
    if (state.fail) throw new Error('no more');
    const router = {
      codecs: options.mediaCodecs ?? [],
      closed: false,
      close: (): void => void (router.closed = true),
    };
    state.routers.push(router);
    return router;
  };
  return Object.assign(state, { worker: { createRouter } as unknown as types.Worker });
}

const MAIN = formOf({ name: 'H264', profileLevelId: '4d001f' })!;

const profile = (payloadType: number): RouterProfile => ({
  video: { form: MAIN, payloadType },
  audio: { payloadType: 111 },
});

describe('the routers of offer profiles', () => {
  it('carry the payload types of the offer, audio first', async () => {
    const { worker, routers } = fakeWorker();
    await createRouterPool(worker, 2).lease(profile(100));
    expect(routers[0]?.codecs.map((codec) => [codec.mimeType, codec.preferredPayloadType])).toEqual([
      ['audio/opus', 111],
      ['video/H264', 100],
    ]);
  });

  it('are shared by equal profiles, even when asked for at once', async () => {
    const { worker, routers } = fakeWorker();
    const pool = createRouterPool(worker, 2);
    const [one, two] = await Promise.all([pool.lease(profile(100)), pool.lease(profile(100))]);
    expect(one.router).toBe(two.router);
    expect(routers).toHaveLength(1);
  });

  it('are refused when all are in use', async () => {
    const pool = createRouterPool(fakeWorker().worker, 2);
    await pool.lease(profile(100));
    await pool.lease(profile(101));
    await expect(pool.lease(profile(102))).rejects.toMatchObject({ code: 'overloaded' });
    expect(pool.size()).toBe(2);
  });

  it('make room when the pool is full: of the unused, the one not used for longest goes', async () => {
    const { worker, routers } = fakeWorker();
    const pool = createRouterPool(worker, 3);
    const first = await pool.lease(profile(100));
    const second = await pool.lease(profile(101));
    await pool.lease(profile(102));
    first.release();
    second.release();
    (await pool.lease(profile(100))).release(); // Used again: younger than the second.
    await pool.lease(profile(103));
    await Promise.resolve();
    expect(routers.map(({ closed }) => closed)).toEqual([false, true, false, false]);
  });

  it('are not given back twice', async () => {
    const pool = createRouterPool(fakeWorker().worker, 1);
    const one = await pool.lease(profile(100));
    await pool.lease(profile(100));
    one.release();
    one.release();
    await expect(pool.lease(profile(101))).rejects.toMatchObject({ code: 'overloaded' });
  });

  it('that could not be made are forgotten', async () => {
    const state = fakeWorker();
    const pool = createRouterPool(state.worker, 1);
    state.fail = true;
    await expect(pool.lease(profile(100))).rejects.toThrow('no more');
    state.fail = false;
    await expect(pool.lease(profile(100))).resolves.toBeDefined();
  });
});
