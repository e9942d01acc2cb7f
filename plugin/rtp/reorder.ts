/** RTP packets in the order of their numbers (RFC 3550 section 5.1), as far as waiting for them is worth it. */

export interface ReorderBuffer {
  /** Takes a packet, and answers what is in order now: late ones, and those that came before, never are. */
  push(packet: Buffer, nowMs: number): Buffer[];
  /** Numbers that were given up. */
  lost(): number;
}

export interface ReorderOptions {
  /** Packets that wait for one before them; default 256. */
  readonly maxPackets?: number;
  /** Milliseconds that they wait; default 200. */
  readonly maxWaitMs?: number;
}

interface Waiting {
  readonly packet: Buffer;
  readonly atMs: number;
}

/** For one stream. */
export function createReorderBuffer({
  maxPackets = 256,
  maxWaitMs = 200,
}: ReorderOptions = {}): ReorderBuffer {
  let next: number | undefined;
  let lost = 0;
  /** By number; the first one has waited longest. */
  const waiting = new Map<number, Waiting>();

  function take(into: Buffer[], from: number): number {
    let at = from;
    for (let found = waiting.get(at); found !== undefined; found = waiting.get(at)) {
      waiting.delete(at);
      into.push(found.packet);
      at = (at + 1) & 0xffff;
    }
    return at;
  }

  function mustGiveUp(nowMs: number): boolean {
    const [oldest] = waiting.values();
    return oldest !== undefined && (waiting.size > maxPackets || nowMs - oldest.atMs > maxWaitMs);
  }

  return {
    push(packet, nowMs) {
      const sequence = packet.readUInt16BE(2);
      let due = next ?? sequence;
      if (((sequence - due) & 0xffff) >= 0x8000 || waiting.has(sequence)) return [];
      waiting.set(sequence, { packet, atMs: nowMs });
      const ready: Buffer[] = [];
      due = take(ready, due);
      while (mustGiveUp(nowMs)) {
        const missing = Math.min(...[...waiting.keys()].map((number) => (number - due) & 0xffff));
        lost += missing;
        due = take(ready, (due + missing) & 0xffff);
      }
      next = due;
      return ready;
    },
    lost: () => lost,
  };
}
