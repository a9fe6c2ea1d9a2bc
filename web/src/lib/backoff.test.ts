import { describe, expect, it } from 'vitest';
import { retryDelay_ms } from './backoff';

describe('retryDelay_ms', () => {
  it('doubles from 1 s and stays at 15 s', () => {
    const middle = [0, 1, 2, 3, 4, 5, 1000].map((attempt) => retryDelay_ms(attempt, 0.5));
    expect(middle).toEqual([1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
  });

  it('spreads by a quarter to both sides', () => {
    expect(retryDelay_ms(0, 0)).toBe(750);
    expect(retryDelay_ms(0, 0.9999)).toBe(1250);
  });
});
