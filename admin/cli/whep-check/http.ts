/** Requests and replies of the suite, and how replies are read. */

/** What came back; never a rejection, since no reply at all is a finding too. */
export interface Reply {
  /** 0: there was none, and `problem` says why. */
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  readonly problem: string;
}

export interface Ask {
  readonly method: string;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** `sha-256 AB:...` of the offer in the body; part of a proof of possession. */
  readonly fingerprint?: string;
  /** Without credentials. OPTIONS carries none (section 4.8.1). */
  readonly anonymous?: boolean;
}

export type Send = (ask: Ask) => Promise<Reply>;

/** For reports: the status, or why there is none. */
export const statusText = ({ status, problem }: Reply): string =>
  status === 0 ? problem : `status ${status}`;

export const isSuccess = ({ status }: Reply): boolean => status >= 200 && status < 300;

export const isClientError = ({ status }: Reply): boolean => status >= 400 && status < 500;

/** The media type of a reply in lower case, without parameters; '' without one. */
export const mediaType = ({ headers }: Reply): string =>
  (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

/** Whether a comma-separated header field has this member, in any case. */
export function lists(headers: Headers, name: string, member: string): boolean {
  const members = (headers.get(name) ?? '').split(',').map((text) => text.trim().toLowerCase());
  return members.includes(member.toLowerCase());
}

/** `Location` against the URL that was asked; `null` without one, or when it does not lead to HTTP as safe as before. */
export function locationOf({ headers }: Reply, asked: URL): URL | null {
  const location = headers.get('location');
  if (location === null || !URL.canParse(location, asked)) return null;
  const url = new URL(location, asked);
  return url.protocol === 'https:' || (url.protocol === 'http:' && asked.protocol === 'http:') ? url : null;
}
