import { describe, expect, it } from 'vitest';
import { parseCompact, parseJsonObject } from '../../../plugin/ticket/compact.ts';

const parse = (json: string) => parseJsonObject(Buffer.from(json));
const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;

describe('a JSON object', () => {
  it.each([
    ['{}', {}],
    ['{"a":{"b":1},"c":{"b":2}}', { a: { b: 1 }, c: { b: 2 } }],
    ['{"a":"\\"b\\":1"}', { a: '"b":1' }],
    ['{ "a" : [ { "b" : 1 } , { "b" : 1 } ] }', { a: [{ b: 1 }, { b: 1 }] }],
    ['{"a\\\\":"\\\\","b":""}', { 'a\\': '\\', b: '' }],
  ])('%s is read', (json, value) => {
    expect(parse(json)).toEqual(value);
  });

  it.each([
    ['a member twice', '{"a":1,"a":1}'],
    ['a member twice, once escaped', '{"a":1,"\\u0061":1}'],
    ['a member twice in a list of objects', '{"a":[{"b":1,"b":2}]}'],
    ['a member twice with space before the colon', '{"a" :1,"a"\n:1}'],
    ['a prototype twice', '{"__proto__":1,"__proto__":2}'],
    ['a list', '[]'],
    ['a text', '"a"'],
    ['nothing', 'null'],
    ['something behind it', '{} {}'],
    ['a comma too many', '{"a":1,}'],
    ['a byte order mark', '\ufeff{}'],
  ])('%s is not', (_name, json) => {
    expect(parse(json)).toBeNull();
  });

  it('that is not UTF-8 is not', () => {
    expect(parseJsonObject(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toBeNull();
  });

  it('is nested 12 deep at most', () => {
    expect(parse(nested(12))).not.toBeNull();
    expect(parse(nested(13))).toBeNull();
    expect(parse(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`)).toBeNull();
  });
});

describe('a compact JWS', () => {
  it.each([
    ['two parts', 'e30.e30'],
    ['four parts', 'e30.e30.AA.AA'],
    ['no signature', 'e30.e30.'],
    ['padding', 'e30=.e30.AA'],
    ['the alphabet of base64', 'e30.e30.+/'],
    ['bits to spare that are not zero', 'e31.e30.AA'],
    ['bits to spare in the signature', 'e30.e30.AB'],
    ['one character too many', 'e30.e30.A'],
    ['a line end', 'e30.e30.AA\n'],
  ])('has not %s', (_name, text) => {
    expect(parseCompact(text, 4096)).toBeNull();
  });

  it('has so many characters at most', () => {
    expect(parseCompact('e30.e30.AA', 10)).not.toBeNull();
    expect(parseCompact('e30.e30.AA', 9)).toBeNull();
  });
});
