import { describe, expect, it } from 'vitest';
import { hueOf, initialsOf } from './avatar';

describe('initialsOf', () => {
  it.each([
    ['Ana Li', 'AL'],
    ['ana', 'A'],
    ['Ana Maria van Li', 'AL'],
    ['  ', '?'],
    ['', '?'],
    ['😀 x', '😀X'],
    ['éva', 'É'],
  ])('%j -> %j', (name, expected) => {
    expect(initialsOf(name)).toBe(expected);
  });
});

describe('hueOf', () => {
  it('is steady and within the circle', () => {
    for (const text of ['', 'a', 'ana-1', '😀'.repeat(1000)]) {
      expect(hueOf(text)).toBe(hueOf(text));
      expect(hueOf(text)).toBeGreaterThanOrEqual(0);
      expect(hueOf(text)).toBeLessThan(360);
    }
  });

  it('tells numbered guests apart', () => {
    for (let number = 1; number < 9; number += 1) {
      const apart = Math.abs(hueOf(`guest-${number}`) - hueOf(`guest-${number + 1}`));
      expect(Math.min(apart, 360 - apart)).toBeGreaterThan(60);
    }
  });
});
