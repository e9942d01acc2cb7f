/** The endpoint before any session. */
import { failed, notApplicable, passed, demand, type Check, type Verdict } from '../check.ts';
import { isClientError, isSuccess, lists, statusText, type Reply } from '../http.ts';
import { SDP, type EndpointEvidence } from '../probe.ts';
import { judgePreflight } from './cors.ts';

/** localhost and its names (RFC 6761 section 6.3), 127.0.0.0/8, ::1: secure contexts without TLS. */
const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Section 4.1: success, and nothing to read. */
export function judgeRead(reply: Reply): Verdict {
  if (!isSuccess(reply)) return failed(statusText(reply));
  return demand(reply.body === '', 'the reply has content');
}

/** Refused with 4xx. */
export const judgeRefusal = (reply: Reply): Verdict => demand(isClientError(reply), statusText(reply));

export const ENDPOINT_CHECKS: readonly Check<EndpointEvidence>[] = [
  {
    id: 'https',
    section: '5',
    level: 'MUST',
    title: 'WHEP is spoken over HTTPS',
    judge({ url }) {
      if (url.protocol === 'https:') return passed;
      return LOOPBACK.test(url.hostname)
        ? notApplicable('this is the same machine')
        : failed('the URL is http:');
    },
  },
  {
    id: 'preflight',
    section: '4.3',
    level: 'MUST',
    title: 'OPTIONS on the endpoint lets a page of another origin POST an offer with a token',
    judge: ({ preflight, origin }) =>
      judgePreflight(preflight, origin, 'POST', ['authorization', 'content-type']),
  },
  {
    id: 'accept-post',
    section: '4.3',
    level: 'SHOULD',
    title: 'The reply to OPTIONS has Accept-Post: application/sdp',
    judge: ({ options }) =>
      isSuccess(options)
        ? demand(lists(options.headers, 'accept-post', SDP), 'no Accept-Post: application/sdp')
        : failed(statusText(options)),
  },
  {
    id: 'endpoint-get',
    section: '4.1',
    level: 'MUST',
    title: 'GET on the endpoint is answered 2xx without content',
    judge: ({ get }) => judgeRead(get),
  },
  {
    id: 'post-type',
    section: '4.2.4',
    level: 'MUST',
    title: 'A POST that is not application/sdp is refused with 4xx',
    judge: ({ wrongType }) => judgeRefusal(wrongType),
  },
  {
    id: 'post-malformed',
    section: '4.2.4',
    level: 'MUST',
    title: 'A malformed offer is refused with 4xx',
    judge: ({ malformed }) => judgeRefusal(malformed),
  },
  {
    id: 'challenge',
    section: '4.8, RFC 9110 section 11.6.1',
    level: 'MUST',
    title: '401 comes with WWW-Authenticate',
    judge({ anonymous }) {
      if (anonymous === null) return notApplicable('seen only with --bearer or --ticket');
      if (anonymous.status !== 401)
        return notApplicable(`an offer without credentials: ${statusText(anonymous)}`);
      return demand(anonymous.headers.has('www-authenticate'), 'no WWW-Authenticate');
    },
  },
];
