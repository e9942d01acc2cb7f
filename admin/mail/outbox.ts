/** Mail goes out behind the answers: how long one takes tells nobody whether there was one to send. */
import type { Log } from '../../plugin/ports.ts';
import type { Mail, MailTransport } from './transport.ts';

export interface Outbox {
  /**
   * Has a mail made and sent, after those before it. What fails is logged, without whom it was for.
   * @param make makes the mail, `null` when there is none to send
   * @param kind `asked`: anybody may ask for as many as he likes, so that half of the room is not for these
   * @returns false when too many wait, which is logged: this one is not sent
   */
  post(kind: 'notice' | 'asked', make: () => Promise<Mail | null>): boolean;
  /** Resolves when what has been posted until now is sent, or has failed. */
  idle(): Promise<void>;
  /** Takes no more, and waits for what runs: for 500 ms at most. */
  close(): Promise<void>;
}

const MAX_WAITING = { notice: 100, asked: 50 } as const;
const CLOSE_WITHIN_MS = 500;

export function createOutbox(transport: MailTransport, log: Pick<Log, 'error'>): Outbox {
  let waiting = 0;
  let closed = false;
  let last: Promise<void> = Promise.resolve();

  async function deliver(make: () => Promise<Mail | null>): Promise<void> {
    try {
      if (closed) log.error({ mailCode: 'closed' }, 'a mail could not be sent');
      const mail = closed ? null : await make();
      if (mail !== null) await transport.send(mail);
    } catch (error) {
      // Messages of mail servers repeat addresses, and may repeat the mail.
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
      log.error({ mailCode: code }, 'a mail could not be sent');
    } finally {
      waiting--;
    }
  }

  return {
    post: (kind, make) => {
      if (closed || waiting >= MAX_WAITING[kind]) {
        log.error({ mailCode: 'full' }, 'a mail could not be sent');
        return false;
      }
      waiting++;
      last = last.then(() => deliver(make));
      return true;
    },
    idle: () => last,
    close: async () => {
      closed = true;
      let timer: NodeJS.Timeout | undefined;
      const enough = new Promise<void>((done) => (timer = setTimeout(done, CLOSE_WITHIN_MS)));
      await Promise.race([last, enough]);
      clearTimeout(timer);
      transport.close();
    },
  };
}
