/** The browser's own view of a session, from `RTCPeerConnection.getStats()`. */
export interface MediaStats {
  /** Whole RTP packets received, headers included: what the server's receipts count. */
  readonly bytes: number;
  /** `1280 × 720, 30 fps`, `null` before the first frame. */
  readonly picture: string | null;
  /** `AES-128 GCM`, `null` before the handshake. */
  readonly cipher: string | null;
  /** `DTLS 1.2`, `null` before the handshake. */
  readonly handshake: string | null;
}

export async function readMediaStats(peerConnection: RTCPeerConnection): Promise<MediaStats> {
  let bytes = 0;
  let picture: string | null = null;
  let cipher: string | null = null;
  let handshake: string | null = null;
  (await peerConnection.getStats()).forEach((entry: Readonly<Record<string, unknown>>) => {
    if (entry['type'] === 'inbound-rtp') {
      bytes += numberOf(entry['bytesReceived']) + numberOf(entry['headerBytesReceived']);
      const [width, height] = [numberOf(entry['frameWidth']), numberOf(entry['frameHeight'])];
      if (width > 0) picture = `${width} × ${height}, ${Math.round(numberOf(entry['framesPerSecond']))} fps`;
    }
    if (entry['type'] === 'transport' && typeof entry['srtpCipher'] === 'string') {
      cipher = CIPHERS[entry['srtpCipher']] ?? entry['srtpCipher'];
      handshake = VERSIONS[String(entry['tlsVersion'])] ?? null;
    }
  });
  return { bytes, picture, cipher, handshake };
}

/** SRTP profiles as browsers name them (RFC 5764 section 4.1.2, RFC 7714 section 14.2), in plain words. */
const CIPHERS: Readonly<Record<string, string>> = {
  SRTP_AES128_CM_SHA1_80: 'AES-128 CM, HMAC-SHA1-80',
  SRTP_AES128_CM_HMAC_SHA1_80: 'AES-128 CM, HMAC-SHA1-80',
  AES_CM_128_HMAC_SHA1_80: 'AES-128 CM, HMAC-SHA1-80',
  SRTP_AEAD_AES_128_GCM: 'AES-128 GCM',
  AEAD_AES_128_GCM: 'AES-128 GCM',
  SRTP_AEAD_AES_256_GCM: 'AES-256 GCM',
  AEAD_AES_256_GCM: 'AES-256 GCM',
};

/** The version bytes of the handshake in hex (RFC 6347 section 4.1, RFC 9147 section 5.3). */
const VERSIONS: Readonly<Record<string, string>> = { FEFD: 'DTLS 1.2', FEFC: 'DTLS 1.3' };

function numberOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}
