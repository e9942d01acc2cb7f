/** Server-sent events (WHATWG HTML, section 9.2.6), from one server that we know: bounded, and strict about its text. */

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
}

export interface EventParser {
  /**
   * Takes the next bytes and answers the events that they complete.
   * @throws Error when a line or an event is too long, or the bytes are no UTF-8; then the stream must be given up
   */
  push(chunk: Uint8Array): ServerSentEvent[];
}

/** The names of the fields and their separators, beside the data. */
const LINE_OVERHEAD_CHARS = 64;

/**
 * Makes the parser of one stream. Of the fields only `event` and `data` are read: a reconnection states itself where it
 * goes on, and when it comes.
 * @param maxDataChars of one event
 */
export function createEventParser(maxDataChars: number): EventParser {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  let event = '';
  let data: string[] = [];
  let dataChars = 0;

  function takeLine(line: string): ServerSentEvent | null {
    if (line === '') {
      const done =
        data.length === 0 ? null : { event: event === '' ? 'message' : event, data: data.join('\n') };
      event = '';
      data = [];
      dataChars = 0;
      return done;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') event = value;
    if (field === 'data') {
      dataChars += value.length + 1;
      if (dataChars > maxDataChars) throw new Error('an event is too long');
      data.push(value);
    }
    return null;
  }

  return {
    push(chunk) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split(/\r\n|\n|\r(?!$)/);
      // A carriage return at the very end may be half of a line end: it waits with the rest.
      rest = lines.pop() ?? '';
      const events: ServerSentEvent[] = [];
      for (const line of lines) {
        const done = takeLine(line);
        if (done !== null) events.push(done);
      }
      if (rest.length > maxDataChars + LINE_OVERHEAD_CHARS) throw new Error('a line is too long');
      return events;
    },
  };
}
