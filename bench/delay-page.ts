/** What runs in the browser: two connections at once, each picture's number read as soon as it is decoded. */

/** A picture's number, and when it was there: milliseconds of the page's clock. */
export type Seen = readonly [number: number, atMs: number];

export interface WatchAsk {
  /** What `delayAnswer` is asked for, one connection each. */
  readonly sides: readonly string[];
  readonly forMs: number;
  /** Bits of the number, burnt into the top ninth of the picture from left to right, lowest first. */
  readonly bits: number;
}

declare global {
  var delayAnswer: (side: string, offer: string) => Promise<string>;
  // Chromium's (mediacapture-transform); the DOM library has only the worker's.
  var MediaStreamTrackProcessor: new (init: { track: MediaStreamTrack }) => {
    readable: ReadableStream<VideoFrame>;
  };
}

/** Serialized into the page, so it refers to nothing outside. */
export async function watchSides({ sides, forMs, bits }: WatchAsk): Promise<Seen[][]> {
  const canvas = new OffscreenCanvas(bits * 20, 1);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) throw new Error('no canvas');
  function numberIn(frame: VideoFrame): number {
    const middle = frame.displayHeight / 18;
    context?.drawImage(frame, 0, middle - 1, frame.displayWidth, 2, 0, 0, canvas.width, 1);
    const data = context?.getImageData(0, 0, canvas.width, 1).data ?? new Uint8ClampedArray();
    let number = 0;
    for (let bit = 0; bit < bits; bit++) {
      if ((data[Math.floor(((bit + 0.5) * canvas.width) / bits) * 4] ?? 0) > 128) number += 2 ** bit;
    }
    return number;
  }

  let counting = false;
  async function readAll(
    track: MediaStreamTrack,
    seen: [number, number][],
    first: () => void,
  ): Promise<void> {
    const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
    for (;;) {
      const { value: frame } = await reader.read();
      const atMs = performance.now();
      if (frame === undefined) return;
      if (counting) seen.push([numberIn(frame), atMs]);
      frame.close();
      first();
    }
  }

  const connections = await Promise.all(
    sides.map(async (side) => {
      const connection = new RTCPeerConnection();
      const { receiver } = connection.addTransceiver('video', { direction: 'recvonly' });
      const seen: [number, number][] = [];
      const playing = new Promise<void>((resolve) => void readAll(receiver.track, seen, resolve));
      await connection.setLocalDescription(await connection.createOffer());
      const answer = await globalThis.delayAnswer(side, connection.localDescription?.sdp ?? '');
      await connection.setRemoteDescription({ type: 'answer', sdp: answer });
      return { connection, seen, playing };
    }),
  );
  await Promise.all(connections.map(({ playing }) => playing));
  // The jitter buffers find their size.
  await new Promise((resolve) => setTimeout(resolve, 2000));
  counting = true;
  await new Promise((resolve) => setTimeout(resolve, forMs));
  for (const { connection } of connections) connection.close();
  return connections.map(({ seen }) => seen);
}
