import { createHash, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { createSha1Tail } from '../../../plugin/srtp/sha1.ts';

it('is the SHA-1 of the block and what is behind it, one after the other', () => {
  for (let blocks = 0; blocks < 50; blocks++) {
    const block = randomBytes(64);
    const finish = createSha1Tail(block);
    for (let tails = 0; tails < 20; tails++) {
      const tail = randomBytes(20);
      expect(finish(tail)).toEqual(createHash('sha1').update(block).update(tail).digest());
    }
  }
});

it.each([0, 0xff, 0x80, 0x7f])('holds for octets that are all %i', (octet) => {
  const [block, tail] = [Buffer.alloc(64, octet), Buffer.alloc(20, octet)];
  expect(createSha1Tail(block)(tail)).toEqual(createHash('sha1').update(block).update(tail).digest());
});
