/** What the streaming server says that a session has used so far. Cumulative. */
export interface Receipt {
  /** The session's id; its URL holds another, which is not for showing. */
  readonly session: string;
  readonly seq: number;
  readonly mediaMs: number;
  readonly bytes: number;
  /** Why the session ended, `null` while it runs. */
  readonly reason: string | null;
}

/** Reads the body of `GET {session}/receipts`; entries that are no receipts are left out. */
export function parseReceipts(body: unknown): readonly Receipt[] {
  const list: unknown =
    typeof body === 'object' && body !== null && 'receipts' in body ? body.receipts : body;
  return Array.isArray(list) ? list.filter(isReceipt) : [];
}

function isReceipt(entry: unknown): entry is Receipt {
  if (typeof entry !== 'object' || entry === null) return false;
  const { session, seq, mediaMs, bytes, reason } = entry as Record<string, unknown>;
  return (
    typeof session === 'string' &&
    typeof seq === 'number' &&
    typeof mediaMs === 'number' &&
    typeof bytes === 'number' &&
    (typeof reason === 'string' || reason === null)
  );
}
