/** The stage of a mediasoup app, with WHEP: what stands between its producers and viewers with tickets. */
import { createStage, type Stage, type StageOptions } from './adapters/mediasoup.ts';
import { createWhep, type Whep } from './adapters/whep.ts';
import { createNodeHandler, type NodeHandler } from './http/node-handler.ts';
import type { OpenedGate } from './open-gate.ts';

export interface OpenStageOptions extends Pick<StageOptions, 'workers' | 'createWorker' | 'graceSeconds'> {
  /** Default: as `USHER_RTC_IP`, `USHER_RTC_ANNOUNCED_ADDRESS` and `USHER_RTC_PORT` say. */
  readonly listen?: StageOptions['listen'];
}

export interface OpenedStage extends Stage {
  /**
   * WHEP, under the path of `USHER_MEDIA_PUBLIC_URL`: `/whep/...` and `/session/...`. For node:http
   * (`createServer(stage.whep)`; with routes of its own, `stage.whep(request, response, () => ...)`) and Express or
   * Connect (`app.use(stage.whep)`, before what reads bodies).
   */
  readonly whep: NodeHandler;
  /** The same for what has web requests: hono, yoga, Next.js. */
  readonly fetch: Whep['fetch'];
}

/**
 * Opens the stage.
 * @param usher what `openGate` has opened
 * @throws as `createStage` does
 */
export async function openStage(usher: OpenedGate, options: OpenStageOptions): Promise<OpenedStage> {
  const { gate, clock, log, publicUrl, iceServers, trustedProxies, rtcListen, signReceipts } = usher;
  const stage = await createStage({
    listen: rtcListen,
    ...options,
    onAttachedChange: () => report.changed(),
    clock,
    log,
  });
  const report = usher.reportStreams(() => stage.attachedStreams());
  const { fetch } = createWhep({ gate, stage, publicUrl, iceServers, signReceipts, clock, log });
  const base = publicUrl.pathname.replace(/\/$/, '');
  const owns = (pathname: string): boolean =>
    ['/whep/', '/session/'].some((path) => pathname.startsWith(base + path));
  return {
    ...stage,
    whep: createNodeHandler({ fetch, owns, trustedProxies }),
    fetch,
    close() {
      stage.close();
      report.end();
    },
  };
}
