/**
 * What has changed, told to whoever looks on: in this process, and on PostgreSQL in every process of the order server.
 * Events are hints that name a row; what it holds is read when it is shown, so that a lost or repeated hint harms nothing.
 */
import { z } from 'zod';
import type { Log } from '../../plugin/ports.ts';
import { errorFields } from '../http/error-fields.ts';

const eventSchema = z.strictObject({
  /**
   * session: a viewing; order: what was used of it; charge: an order that was charged, or of which something was given
   * back; account: what it may do, or who is signed in to it.
   */
  kind: z.enum(['session', 'order', 'charge', 'account']),
  id: z.uuid(),
});
export type ServerEvent = z.infer<typeof eventSchema>;

export interface EventListener {
  onEvents(events: readonly ServerEvent[]): void;
  /** Events may have been missed: they could not be sent, or the connection that brings them was away. */
  onGap(): void;
}

export interface EventPort {
  /**
   * Tells that rows have changed. Call it when the change is committed. It neither waits nor throws.
   */
  publish(events: readonly ServerEvent[]): void;
  /** @returns what ends the subscription. */
  subscribe(listener: EventListener): () => void;
  /** How many listen, for metrics. */
  listeners(): number;
}

/** What carries text between the processes: LISTEN and NOTIFY. */
export interface Channel {
  /** At most 7,999 bytes. */
  notify(text: string): Promise<void>;
  /** @param onOpen each time that it begins to listen, again after a connection was lost */
  listen(onText: (text: string) => void, onOpen: () => void): Promise<void>;
}

/** PostgreSQL refuses payloads of 8,000 bytes. */
const MAX_PAYLOAD_CHARS = 7900;
/** Events that wait to be sent; more of them are dropped, oldest first. */
const MAX_WAITING = 10_000;

const keyOf = ({ kind, id }: ServerEvent): string => `${kind}:${id}`;

/** Events as texts that fit, and back: `kind:id` by spaces. */
function pack(keys: Iterable<string>): string[] {
  const texts: string[] = [];
  let text = '';
  for (const key of keys) {
    if (text.length + key.length + 1 > MAX_PAYLOAD_CHARS) {
      texts.push(text);
      text = '';
    }
    text += text === '' ? key : ` ${key}`;
  }
  return text === '' ? texts : [...texts, text];
}

function unpack(text: string): ServerEvent[] {
  return text.split(' ').flatMap((key) => {
    const [kind, id] = key.split(':');
    const parsed = eventSchema.safeParse({ kind, id });
    return parsed.success ? [parsed.data] : [];
  });
}

/**
 * @param channel what other processes hear by; `null` where there are none (the embedded database)
 * @throws what `channel.listen` throws
 */
export async function createEventPort(channel: Channel | null, log: Log): Promise<EventPort> {
  const listeners = new Set<EventListener>();
  // The same thing often changes many times before it is sent.
  const waiting = new Set<string>();
  let isSending = false;

  const deliver = (events: readonly ServerEvent[]): void => {
    if (events.length > 0) for (const listener of [...listeners]) listener.onEvents(events);
  };

  const tellGap = (): void => {
    for (const listener of [...listeners]) listener.onGap();
  };

  /**
   * Never in the transaction that makes the change: PostgreSQL commits transactions that notify one after the other. By
   * turns instead, so that what comes meanwhile goes together.
   */
  async function send(open: Channel): Promise<void> {
    isSending = true;
    try {
      while (waiting.size > 0) {
        const texts = pack(waiting);
        waiting.clear();
        for (const text of texts) await open.notify(text);
      }
    } catch (error) {
      log.warn(errorFields(error), 'events were not sent');
      // Who listens in this process hears of them in the same way.
      tellGap();
    } finally {
      isSending = false;
    }
  }

  if (channel !== null) {
    let hasOpened = false;
    await channel.listen(
      (text) => {
        deliver(unpack(text));
      },
      () => {
        if (hasOpened) tellGap();
        hasOpened = true;
      },
    );
  }

  return {
    publish: (events) => {
      if (channel === null) {
        // Not within the caller's turn: what a listener does is none of its business.
        setImmediate(deliver, [...events]);
        return;
      }
      for (const event of events) waiting.add(keyOf(event));
      for (const key of waiting) {
        if (waiting.size <= MAX_WAITING) break;
        waiting.delete(key);
      }
      if (!isSending) void send(channel);
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    listeners: () => listeners.size,
  };
}
