/** Chromium as a WHEP player, without tickets: the gate of these tests is a double. */
import type { Page } from 'playwright-core';

export interface PlayerStats {
  readonly framesDecoded: number;
  readonly audioPackets: number;
  /** RTP packets whole, as mediasoup counts them. */
  readonly bytes: number;
  readonly streams: number;
  readonly connectionState: string;
}

/** Opens a page that plays `url`; resolves with the session's URL once the answer is applied. */
export async function play(page: Page, url: string, kinds: readonly string[]): Promise<string> {
  return page.evaluate(
    async ([url, kinds]) => {
      const pc = new RTCPeerConnection();
      const streams = new Set<string>();
      Object.assign(globalThis, { pc, streams });
      for (const kind of kinds) pc.addTransceiver(kind, { direction: 'recvonly' });
      const video = document.body.appendChild(document.createElement('video'));
      video.autoplay = true;
      video.muted = true;
      pc.ontrack = ({ streams: [stream] }) => {
        if (stream) {
          streams.add(stream.id);
          video.srcObject = stream;
        }
      };
      await pc.setLocalDescription(await pc.createOffer());
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/sdp', authorization: 'Bearer test' },
        body: pc.localDescription?.sdp ?? '',
      });
      if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
      await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
      return response.headers.get('location') ?? '';
    },
    [url, kinds] as const,
  );
}

export async function readStats(page: Page): Promise<PlayerStats> {
  return page.evaluate(async () => {
    const { pc, streams } = globalThis as unknown as { pc: RTCPeerConnection; streams: Set<string> };
    type Report = Record<string, number | undefined> & { type: string; kind: string };
    const all = [...(await pc.getStats()).values()] as Report[];
    const reports = all.filter(({ type }) => type === 'inbound-rtp');
    const sum = (name: string): number => reports.reduce((total, report) => total + (report[name] ?? 0), 0);
    return {
      framesDecoded: sum('framesDecoded'),
      audioPackets: reports.find(({ kind }) => kind === 'audio')?.['packetsReceived'] ?? 0,
      bytes: sum('bytesReceived') + sum('headerBytesReceived'),
      streams: streams.size,
      connectionState: pc.connectionState,
    };
  });
}

/** Asks until `enough`; each question is an event of the page, and the test's own timeout is the limit. */
export async function statsWhen(page: Page, enough: (stats: PlayerStats) => boolean): Promise<PlayerStats> {
  for (;;) {
    const stats = await readStats(page);
    if (enough(stats)) return stats;
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
}
