/** What runs in the browser: one connection, timed. Serialized into the page, so it refers to nothing outside. */

export interface GatedTry {
  readonly url: string;
  readonly ticket: string;
  readonly privateJwk: JsonWebKey;
  readonly publicJwk: JsonWebKey;
  readonly nonce: string;
}

export interface Times {
  /** Milliseconds from the click until the peer connection says "connected". */
  readonly connectedMs: number;
  /** From "connected" to the first picture. */
  readonly pictureMs: number;
}

/** Connects with a ticket (`gated`), or to `bareUrl` without one. */
export async function connectOnce({
  gated,
  bareUrl,
}: {
  gated?: GatedTry;
  bareUrl?: string;
}): Promise<Times> {
  const base64url = (bytes: Uint8Array): string =>
    btoa(String.fromCharCode(...bytes))
      .replaceAll('+', '-')
      .replaceAll('/', '_')
      .replace(/=+$/, '');
  const text = (value: object): string => base64url(new TextEncoder().encode(JSON.stringify(value)));
  // As in a player, the key is there before the click.
  const key =
    gated && (await crypto.subtle.importKey('jwk', gated.privateJwk, { name: 'Ed25519' }, false, ['sign']));

  async function headersFor(
    method: string,
    url: string,
    nonce: string,
    fingerprint?: string,
  ): Promise<HeadersInit> {
    // Without a gate: any credential will do.
    if (gated === undefined || key === undefined) {
      return { 'content-type': 'application/sdp', authorization: 'Bearer any' };
    }
    const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(gated.ticket));
    const claims = {
      jti: crypto.randomUUID(),
      htm: method,
      htu: url,
      iat: Math.floor(Date.now() / 1000),
      ath: base64url(new Uint8Array(hash)),
      nonce,
      ...(fingerprint === undefined
        ? {}
        : { attempt: crypto.randomUUID(), ask: { action: 'play' }, fingerprint }),
    };
    const signed = `${text({ typ: 'dpop+jwt', alg: 'Ed25519', jwk: gated.publicJwk })}.${text(claims)}`;
    const signature = await crypto.subtle.sign('Ed25519', key, new TextEncoder().encode(signed));
    return {
      'content-type': 'application/sdp',
      authorization: `DPoP ${gated.ticket}`,
      dpop: `${signed}.${base64url(new Uint8Array(signature))}`,
    };
  }

  const url = gated?.url ?? bareUrl ?? '';
  // What the player has ready before the click: the certificate, and with it the proof. The bare side gets its
  // certificate as early.
  const keyParameters: EcKeyGenParams = { name: 'ECDSA', namedCurve: 'P-256' };
  const certificate = await RTCPeerConnection.generateCertificate(keyParameters);
  const [print] = certificate.getFingerprints();
  const fingerprint = `${print?.algorithm ?? ''} ${(print?.value ?? '').toUpperCase()}`;
  const headers = await headersFor('POST', url, gated?.nonce ?? '', fingerprint);

  const clickedMs = performance.now();
  const connection = new RTCPeerConnection({ certificates: [certificate] });
  connection.addTransceiver('video', { direction: 'recvonly' });
  connection.addTransceiver('audio', { direction: 'recvonly' });
  const video = document.createElement('video');
  video.muted = true;
  video.autoplay = true;
  document.body.append(video);
  const media = new MediaStream();
  video.srcObject = media;
  connection.ontrack = ({ track }) => media.addTrack(track);
  const connected = new Promise<number>((resolve, reject) => {
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === 'connected') resolve(performance.now());
      if (connection.connectionState === 'failed') reject(new Error('the connection failed'));
    };
  });
  const picture = new Promise<number>((resolve) => {
    video.requestVideoFrameCallback(() => resolve(performance.now()));
  });
  await connection.setLocalDescription(await connection.createOffer());
  const sdp = connection.localDescription?.sdp ?? '';
  const response = await fetch(url, {
    method: 'POST',
    headers,
    body: sdp,
  });
  if (response.status !== 201) throw new Error(`${String(response.status)} ${await response.text()}`);
  await connection.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  const late = new Promise<never>((_resolve, reject) => {
    setTimeout(() => reject(new Error('no picture within 15 s')), 15_000);
  });
  const connectedAt = await Promise.race([connected, late]);
  const pictureAt = await Promise.race([picture, late]);

  const session = new URL(response.headers.get('location') ?? '', url).href;
  const nonce = response.headers.get('dpop-nonce') ?? '';
  await fetch(session, { method: 'DELETE', headers: await headersFor('DELETE', session, nonce) });
  connection.close();
  video.remove();
  return { connectedMs: connectedAt - clickedMs, pictureMs: pictureAt - connectedAt };
}
