/** Peer connections without a network: the test decides when they connect, carry media, and drop. */

const FINGERPRINT = Array.from({ length: 32 }, (_, index) => index.toString(16).padStart(2, '0')).join(':');
export const OFFER_SDP = `v=0\r\na=fingerprint:sha-256 ${FINGERPRINT}\r\n`;
export const ANSWER_SDP = `v=0\r\na=fingerprint:sha-256 ${FINGERPRINT.toUpperCase()}\r\n`;
export const FINGERPRINT_TEXT = `sha-256 ${FINGERPRINT.toUpperCase()}`;

export class FakePeerConnection extends EventTarget {
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: RTCSessionDescriptionInit | null = null;
  remoteDescription: RTCSessionDescriptionInit | null = null;
  closed = false;
  bytesReceived = 0;
  /** True: no packets come. */
  silent = false;
  configuration: RTCConfiguration = { bundlePolicy: 'max-bundle' };
  /** What was configured when gathering began. */
  gatheredWith: RTCConfiguration | null = null;

  addTransceiver(): void {}
  async createOffer(): Promise<RTCSessionDescriptionInit> {
    return { type: 'offer', sdp: OFFER_SDP };
  }
  async setLocalDescription(description: RTCSessionDescriptionInit): Promise<void> {
    this.localDescription = description;
    this.gatheredWith = this.configuration;
  }
  async setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    if (description.sdp === 'broken') throw new DOMException('no', 'OperationError');
    this.remoteDescription = description;
    queueMicrotask(() => this.become('connected'));
  }
  getConfiguration(): RTCConfiguration {
    return this.configuration;
  }
  setConfiguration(configuration: RTCConfiguration): void {
    const urls = (configuration.iceServers ?? []).flatMap((server) => server.urls);
    if (urls.includes('turn:refused.example')) throw new DOMException('no', 'SyntaxError');
    this.configuration = configuration;
  }
  getReceivers(): RTCRtpReceiver[] {
    return [];
  }
  async getStats(): Promise<Map<string, object>> {
    if (!this.silent) this.bytesReceived += 1;
    return new Map([
      ['in', { type: 'inbound-rtp', bytesReceived: this.bytesReceived, headerBytesReceived: 0 }],
    ]);
  }
  close(): void {
    this.closed = true;
    this.connectionState = 'closed';
  }
  become(state: RTCPeerConnectionState): void {
    if (this.closed) return;
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }
}
