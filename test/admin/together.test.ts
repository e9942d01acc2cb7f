import { describe, expect, it } from 'vitest';
import { together } from '../../admin/db/together.ts';

const failing = (message: string) => Promise.reject(new Error(message));

describe('statements that are sent together', () => {
  it('are all begun before any is answered, and are answered in their order', async () => {
    const begun: string[] = [];
    const slow = Promise.withResolvers<string>();
    const begin = (name: string, answer: Promise<string>) => {
      begun.push(name);
      return answer;
    };
    const answers = together([begin('one', slow.promise), begin('two', Promise.resolve('second'))]);
    expect(begun).toEqual(['one', 'two']);
    slow.resolve('first');
    expect(await answers).toEqual(['first', 'second']);
  });

  it('fail by the first of them, whichever failed before: behind it the database refuses the others', async () => {
    const slow = Promise.withResolvers<string>();
    const failed = together([slow.promise, failing('current transaction is aborted')]);
    slow.reject(new Error('no funds'));
    await expect(failed).rejects.toThrow('no funds');
  });

  it('have all ended when they fail: nothing is sent after their transaction', async () => {
    const slow = Promise.withResolvers<string>();
    let ended = false;
    const failed = together([failing('first'), slow.promise]).finally(() => (ended = true));
    const seen = expect(failed).rejects.toThrow('first');
    await new Promise(setImmediate);
    expect(ended).toBe(false);
    slow.resolve('late');
    await seen;
  });

  it('are begun once, though a query of Drizzle is begun by each who waits for it', async () => {
    let begun = 0;
    const query = {
      then(done: (answer: number) => void) {
        done(++begun);
      },
    };
    expect(await together([query])).toEqual([1]);
  });
});
