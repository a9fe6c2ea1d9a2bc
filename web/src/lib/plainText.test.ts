import { describe, expect, it } from 'vitest';
import { MESSAGE_LENGTH_MAX, plainMessage, plainName, shownName } from './plainText';

describe('plainName', () => {
  it.each([
    ['Ana Li', 'Ana Li'],
    ['דנה', 'דנה'],
    ['Ana\u202e(uoy)\u202c', 'Ana(uoy)'],
    ['\u2067\u200fAna\u2069', 'Ana'],
    ['Ana\0\u001b[31m\nBo\u0085', 'Ana[31mBo'],
    ['👩‍👧 x', '👩‍👧 x'],
    [' \u202e ', ''],
  ])('%j -> %j', (name, expected) => {
    expect(plainName(name)).toBe(expected);
  });

  it('is not endless', () => {
    expect(plainName('n'.repeat(300_000))).toBe(`${'n'.repeat(256)}…`);
  });
});

describe('shownName', () => {
  it('is the identity where the name has nothing to show', () => {
    expect(shownName({ name: 'Ana', identity: 'ana-1' })).toBe('Ana');
    expect(shownName({ name: '\u202e', identity: 'ana-1' })).toBe('ana-1');
    expect(shownName({ identity: 'ana-1' })).toBe('ana-1');
    expect(shownName({ name: '', identity: '\0' })).toBe('?');
  });
});

describe('plainMessage', () => {
  it('keeps lines and scripts, and drops what turns the text round', () => {
    expect(plainMessage('a\n\tb\0\u202ec\u2066d\r')).toBe('a\n\tbcd');
    expect(plainMessage('שלום\u200f!')).toBe('שלום\u200f!');
  });

  it('ends where the page itself would have stopped', () => {
    expect(plainMessage('Y'.repeat(MESSAGE_LENGTH_MAX))).toHaveLength(MESSAGE_LENGTH_MAX);
    expect(plainMessage('Y'.repeat(300_000))).toBe(`${'Y'.repeat(MESSAGE_LENGTH_MAX)}…`);
    expect(plainMessage(`Y${'😀'.repeat(MESSAGE_LENGTH_MAX)}`)).toBe(`Y${'😀'.repeat(MESSAGE_LENGTH_MAX / 2 - 1)}…`);
  });
});
