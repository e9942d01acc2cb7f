/** RTSP 1.0 responses (RFC 2326 section 7). */

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  400: 'Bad Request',
  401: 'Unauthorized',
  402: 'Payment Required',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  412: 'Precondition Failed',
  413: 'Request Entity Too Large',
  414: 'Request-URI Too Large',
  415: 'Unsupported Media Type',
  451: 'Parameter Not Understood',
  453: 'Not Enough Bandwidth',
  454: 'Session Not Found',
  455: 'Method Not Valid in This State',
  460: 'Only Aggregate Operation Allowed',
  461: 'Unsupported Transport',
  463: 'Key Management Failure',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  503: 'Service Unavailable',
  505: 'RTSP Version Not Supported',
  551: 'Option Not Supported',
};

export interface RtspResponse {
  readonly status: number;
  /** By name as it is written. `undefined` ones are left out. Of a list, each in a line of its own. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Text, with the type that `headers` say. */
  readonly body?: string;
}

const VALUE = /^[\t\x20-\x7e]*$/;

/** True for what a header field of a response can say: printable ASCII. */
export const isFieldValue = (value: string): boolean => VALUE.test(value);

/**
 * Writes a response.
 * @param cseq of the request; `undefined` when it could not be read
 * @throws RangeError for a header field that would be another one as well
 */
export function formatRtspResponse({ status, headers = {}, body = '' }: RtspResponse, cseq?: number): Buffer {
  const content = Buffer.from(body, 'utf8');
  const lines = [`RTSP/1.0 ${String(status)} ${REASONS[status] ?? 'Unknown'}`];
  if (cseq !== undefined) lines.push(`CSeq: ${String(cseq)}`);
  for (const [name, value] of Object.entries(headers)) {
    for (const each of value === undefined ? [] : [value].flat()) {
      if (!isFieldValue(each)) throw new RangeError(`the value of ${name} does not fit into a line`);
      lines.push(`${name}: ${each}`);
    }
  }
  if (content.length > 0) lines.push(`Content-Length: ${String(content.length)}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), content]);
}
