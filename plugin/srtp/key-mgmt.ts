/** MIKEY messages in SDP and RTSP (RFC 4567 sections 3.1 and 4.1). */
import { decodeBase64, KeySyntaxError } from './key-syntax-error.ts';

/** Base64 of the longest MIKEY message, 4096 bytes. */
const MAX_DATA_CHARS = 5464;
const MAX_URI_CHARS = 1024;
const MAX_SPECS = 8;
const ATTRIBUTE = 'a=key-mgmt:mikey ';
/** One key-mgmt-spec; white space as RTSP allows it between tokens. The URI has none of the octets that could end it. */
const SPEC =
  /^[ \t]*prot[ \t]*=[ \t]*mikey[ \t]*;[ \t]*(?:uri[ \t]*=[ \t]*"([!#-~]+)"[ \t]*;[ \t]*)?data[ \t]*=[ \t]*"([A-Za-z0-9+/=]+)"[ \t]*(,|$)/i;

function dataOf(text: string): Buffer {
  if (text.length > MAX_DATA_CHARS) throw new KeySyntaxError('the key management data is too long');
  const data = decodeBase64(text, 'required');
  if (data.length === 0) throw new KeySyntaxError('the key management data is empty');
  return data;
}

/** The SDP line, without its end. */
export function formatKeyMgmtAttribute(message: Uint8Array): string {
  return ATTRIBUTE + Buffer.from(message).toString('base64');
}

/**
 * Reads an SDP line `a=key-mgmt:mikey ...`, without its end.
 * @throws KeySyntaxError
 */
export function parseKeyMgmtAttribute(line: string): Buffer {
  if (!line.startsWith(ATTRIBUTE)) throw new KeySyntaxError('the attribute is not for MIKEY');
  return dataOf(line.slice(ATTRIBUTE.length));
}

/** What an RTSP header carries. */
export interface KeyMgmt {
  /** Of the session or media line that the keys are for; at most 1024 printable characters. */
  readonly uri?: string;
  /** A MIKEY message. */
  readonly data: Uint8Array;
}

/**
 * The value of an RTSP header `KeyMgmt`.
 * @throws RangeError for a URI that a header cannot carry
 */
export function formatKeyMgmtHeader(specs: readonly KeyMgmt[]): string {
  if (specs.length < 1 || specs.length > MAX_SPECS)
    throw new RangeError(`a header has 1 to ${MAX_SPECS} keys`);
  const texts = specs.map(({ uri, data }) => {
    if (uri !== undefined && (!/^[!#-~]+$/.test(uri) || uri.length > MAX_URI_CHARS))
      throw new RangeError('the URI does not fit into a header');
    const named = uri === undefined ? '' : ` uri="${uri}";`;
    return `prot=mikey;${named} data="${Buffer.from(data).toString('base64')}"`;
  });
  return texts.join(', ');
}

/**
 * Reads the value of an RTSP header `KeyMgmt`: 1 to 8 specifications, all for MIKEY.
 * @throws KeySyntaxError
 */
export function parseKeyMgmtHeader(value: string): KeyMgmt[] {
  if (value.length > MAX_SPECS * (MAX_DATA_CHARS + MAX_URI_CHARS))
    throw new KeySyntaxError('the header is too long');
  const specs: KeyMgmt[] = [];
  for (let rest = value, isLast = false; !isLast;) {
    if (specs.length === MAX_SPECS) throw new KeySyntaxError('the header has too many keys');
    const [whole, uri, data, end] = SPEC.exec(rest) ?? [];
    if (whole === undefined || data === undefined) throw new KeySyntaxError('the header is malformed');
    if (uri !== undefined && uri.length > MAX_URI_CHARS) throw new KeySyntaxError('the URI is too long');
    specs.push({ ...(uri === undefined ? {} : { uri }), data: dataOf(data) });
    rest = rest.slice(whole.length);
    isLast = end !== ',';
  }
  return specs;
}
