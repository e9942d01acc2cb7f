import { describe, expect, it } from 'vitest';
import { asDenial, Denial, problemResponse, refusalOf, REFUSALS, type Code } from '../../plugin/errors.ts';

const codes = Object.keys(REFUSALS) as Code[];

describe.each(codes)('%s', (code) => {
  const row = refusalOf(code);

  it('has a status on every protocol', () => {
    expect(row.http).toBeGreaterThanOrEqual(400);
    expect(row.http).toBeLessThan(600);
    expect(row.rtsp).toBeGreaterThanOrEqual(400);
    expect(row.rtsp).toBeLessThan(600);
    expect(row.rtmp).toMatch(/^NetStream\.(Play|Publish)\.[A-Z][A-Za-z]+$/);
  });

  it('is a snake_case word with a title for people', () => {
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
    expect(row.title).toMatch(/^[A-Z][^.]*[^.]$/);
  });

  it('becomes a problem document (RFC 9457)', async () => {
    const response = problemResponse(new Denial(code, { detail: 'exp' }), { 'dpop-nonce': 'n' });
    expect(response.status).toBe(row.http);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('dpop-nonce')).toBe('n');
    expect(response.headers.get('retry-after')).toBe(row.retryAfterSeconds?.toString() ?? null);
    expect(await response.json()).toEqual({
      type: `urn:usher:problem:${code}`,
      title: row.title,
      status: row.http,
      code,
      detail: 'exp',
    });
  });
});

it('no two codes have one title', () => {
  expect(new Set(codes.map((code) => refusalOf(code).title)).size).toBe(codes.length);
});

it('everything that is worth another try later says when', () => {
  for (const code of codes.filter((name) => [429, 503].includes(refusalOf(name).http))) {
    expect(refusalOf(code).retryAfterSeconds).toBeGreaterThan(0);
  }
});

describe('a denial', () => {
  it('has a stable code, the title as its message, and no detail unless given', async () => {
    const denial = new Denial('ticket_expired');
    expect(denial).toMatchObject({
      name: 'Denial',
      code: 'ticket_expired',
      message: 'The ticket has expired',
    });
    expect(await problemResponse(denial).json()).not.toHaveProperty('detail');
  });

  it('may say a time of its own for another try', () => {
    const denial = new Denial('stream_offline', { retryAfterSeconds: 42 });
    expect(problemResponse(denial).headers.get('retry-after')).toBe('42');
  });

  it('does not show its cause', async () => {
    const text = await problemResponse(asDenial(new Error('secret'))).text();
    expect(text).not.toContain('secret');
  });
});

describe('whatever is thrown', () => {
  it('is the same denial if it is one', () => {
    const denial = new Denial('ticket_missing');
    expect(asDenial(denial)).toBe(denial);
  });

  it.each([[new Error('x')], ['text'], [undefined], [{ code: 'ticket_expired' }]])(
    'is internal if it is not: %o',
    (thrown) => {
      const denial = asDenial(thrown);
      expect(denial.code).toBe('internal');
      expect(denial.cause).toBe(thrown);
    },
  );
});
