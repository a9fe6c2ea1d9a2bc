import { describe, expect, it } from 'vitest';
import { textParts } from './links';

const hrefs = (text: string) => textParts(text).flatMap(({ href }) => href ?? []);

describe('textParts', () => {
  it('cuts a text at its links', () => {
    expect(textParts('see https://a.example/x?y=(1), or\nhttp://127.0.0.1:7880/')).toEqual([
      { text: 'see ' },
      { text: 'https://a.example/x?y=(1)', href: 'https://a.example/x?y=(1)' },
      { text: ', or\n' },
      { text: 'http://127.0.0.1:7880/', href: 'http://127.0.0.1:7880/' },
    ]);
    expect(hrefs('(HTTPS://пример.рф/ж)')).toEqual(['HTTPS://пример.рф/ж']);
    expect(textParts('')).toEqual([]);
  });

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'ftp://a.example/',
    'mailto:ana@a.example',
    'ana@a.example',
    '//a.example',
    'readme.md',
    'https:',
  ])('%j is no link', (text) => {
    expect(textParts(text)).toEqual([{ text }]);
  });

  // Whatever took more than linear time here would not end before the test does.
  it.each([
    ['letters', 'Y'],
    ['hexadecimal', '0123456789abcdef'],
    ['characters of a script without spaces', '漢'],
    ['labels', 'a.'],
    ['hyphens', 'a-'],
    ['slashes', '/'],
    ['at signs', 'a@'],
    ['schemes', 'http:'],
    ['brackets', '[('],
  ])('takes linear work for a long run of %s', (_, unit) => {
    const text = unit.repeat(300_000 / unit.length);
    expect(textParts(text)).toEqual([{ text }]);
  });

  it('takes linear work for many links, and for one without an end', () => {
    const parts = textParts('http://a.example/ '.repeat(20_000));
    expect(parts).toHaveLength(40_000);
    const endless = `http://a.example/${'(x'.repeat(150_000)}`;
    expect(
      textParts(endless)
        .map(({ text }) => text)
        .join(''),
    ).toBe(endless);
  });
});
