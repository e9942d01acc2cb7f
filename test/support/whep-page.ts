/** A bare WHEP client that runs in a page. Each function is serialized into it, so it refers to nothing outside. */

declare global {
  /** Given to the page by the test: a proof for an offer. */
  var proofFor: (sdp: string) => Promise<string>;
  /** Unix milliseconds at which bytes last arrived, and whether any did within the last two seconds. */
  var arrivals: { firstMs: number; lastMs: number };
  var held: RTCPeerConnection;
}

/** Connects, and keeps note of when media arrives; answers when the first did, in Unix milliseconds. */
export async function connectAndHold({ url, ticket }: { url: string; ticket: string }): Promise<number> {
  const connection = new RTCPeerConnection();
  globalThis.held = connection;
  globalThis.arrivals = { firstMs: 0, lastMs: 0 };
  connection.addTransceiver('video', { direction: 'recvonly' });
  connection.addTransceiver('audio', { direction: 'recvonly' });
  await connection.setLocalDescription(await connection.createOffer());
  const sdp = connection.localDescription?.sdp ?? '';
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/sdp',
      authorization: `DPoP ${ticket}`,
      dpop: await globalThis.proofFor(sdp),
    },
    body: sdp,
  });
  if (response.status !== 201) throw new Error(`${String(response.status)} ${await response.text()}`);
  await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  let bytes = 0;
  return new Promise((resolve) => {
    setInterval(() => {
      void connection.getStats().then((stats) => {
        let now = 0;
        stats.forEach((stat: RTCInboundRtpStreamStats) => {
          if (stat.type === 'inbound-rtp') now += stat.bytesReceived ?? 0;
        });
        if (now <= bytes) return;
        bytes = now;
        globalThis.arrivals.lastMs = Date.now();
        if (globalThis.arrivals.firstMs === 0) resolve((globalThis.arrivals.firstMs = Date.now()));
      });
    }, 50);
  });
}

/** Waits until nothing has arrived for two seconds; answers when something last did, in Unix milliseconds. */
export function lastArrivalMs(): Promise<number> {
  return new Promise((resolve) => {
    const timer = setInterval(() => {
      if (Date.now() - globalThis.arrivals.lastMs < 2000) return;
      clearInterval(timer);
      resolve(globalThis.arrivals.lastMs);
    }, 100);
  });
}
