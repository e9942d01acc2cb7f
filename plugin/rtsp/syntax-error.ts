/** What came is not RTSP 1.0, or more of it than is taken; `status` is what the answer says (RFC 2326 section 7.1.1). */
export class RtspSyntaxError extends Error {
  override readonly name = 'RtspSyntaxError';
  readonly status: RtspSyntaxStatus;

  constructor(status: RtspSyntaxStatus, message: string) {
    super(message);
    this.status = status;
  }
}

export type RtspSyntaxStatus = 400 | 413 | 414 | 451 | 505;
