/** What the sockets that all viewers by UDP share take, and what they do not. */
import { Socket } from 'node:dgram';
import { expect, it, onTestFinished, vi } from 'vitest';
import { openUdpDoor } from '../../../../plugin/adapters/rtsp/udp.ts';

const PORTS = [40_000, 40_001] as const;

it('a packet is taken, unless 4 MiB wait or the door is closed', async () => {
  const door = await openUdpDoor('127.0.0.1', 0, 'USHER_TEST');
  onTestFinished(door.close);
  const queued = vi.spyOn(Socket.prototype, 'getSendQueueSize');
  onTestFinished(() => queued.mockRestore());
  const sent = vi.spyOn(Socket.prototype, 'send').mockReturnValue(undefined);
  onTestFinished(() => sent.mockRestore());
  const outlet = door.open({ address: '127.0.0.1', ports: PORTS }, () => undefined);
  const send = (): unknown => outlet?.rtp(Buffer.alloc(20));
  queued.mockReturnValue(4 * 1024 * 1024);
  expect(send()).toBe(true);
  queued.mockReturnValue(4 * 1024 * 1024 + 1);
  expect(send()).toBe(false);
  queued.mockReturnValue(0);
  door.close();
  expect(send()).toBe(false);
  expect(sent).toHaveBeenCalledOnce();
});
