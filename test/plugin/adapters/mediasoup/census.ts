import type { types } from 'mediasoup';

/** The live objects of a worker: what leaks shows here. To be called before anything is made. */
export function census(worker: types.Worker): {
  transports: number;
  consumers: number;
  producers: number;
  routers: number;
} {
  const counts = { transports: 0, consumers: 0, producers: 0, routers: 0 };
  const count = (
    kind: keyof typeof counts,
    { observer }: { observer: { once(e: 'close', f: () => void): unknown } },
  ): void => {
    counts[kind] += 1;
    observer.once('close', () => (counts[kind] -= 1));
  };
  worker.observer.on('newrouter', (router) => {
    count('routers', router);
    router.observer.on('newtransport', (transport) => {
      count('transports', transport);
      transport.observer.on('newconsumer', (consumer) => count('consumers', consumer));
      transport.observer.on('newproducer', (producer) => count('producers', producer));
    });
  });
  return counts;
}
