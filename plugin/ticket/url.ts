/** Comparing `htu` with the URL that was asked for (RFC 9449 section 4.3, check 9). */

const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  http: '80',
  https: '443',
  ws: '80',
  wss: '443',
  rtsp: '554',
  rtsps: '322',
  rtmp: '1935',
  rtmps: '443',
};

// Printable ASCII without a backslash, which the URL parser would take for a slash.
const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([\x21-\x5b\x5d-\x7e]+)$/;
const UNRESERVED = /^[A-Za-z0-9._~-]$/;

function normalizePercent(path: string): string {
  return path.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const char = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
    return UNRESERVED.test(char) ? char : triplet.toUpperCase();
  });
}

/**
 * A URL without query and fragment after the syntax-based and scheme-based normalization of RFC 3986 sections 6.2.2 and
 * 6.2.3, or `null` if it is not an absolute URL of a known scheme, or has user information.
 */
export function normalizeUrl(text: string): string | null {
  const match = ABSOLUTE.exec(text);
  const scheme = match?.[1]?.toLowerCase() ?? '';
  const rest = match?.[2] ?? '';
  const defaultPort = DEFAULT_PORTS[scheme];
  if (defaultPort === undefined) return null;
  // Read as http and as https, so that host and path follow the same rules for every scheme: each of the two hides its
  // own default port, and the other one then shows it.
  const http = URL.parse(`http://${rest}`);
  const https = URL.parse(`https://${rest}`);
  if (http === null || https === null || http.username !== '' || http.password !== '') return null;
  const port = http.port || https.port || defaultPort;
  return `${scheme}://${http.hostname}:${port}${normalizePercent(http.pathname)}`;
}
