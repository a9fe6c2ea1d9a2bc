import { describe, expect, it } from 'vitest';
import { fitGrid, tilesPerPage } from './fitGrid';

describe('fitGrid', () => {
  it('puts two side by side on a desk and one above the other on a phone', () => {
    expect(fitGrid(1200, 640, 2, 8).columns).toBe(2);
    expect(fitGrid(344, 600, 2, 8).columns).toBe(1);
  });

  it.each([
    [1200, 640],
    [344, 600],
    [600, 344],
    [1, 1],
    [0, 0],
  ])('never overflows %d × %d', (width, height) => {
    for (let count = 1; count <= 25; count += 1) {
      const grid = fitGrid(width, height, count, 8);
      expect(grid.columns * grid.rows).toBeGreaterThanOrEqual(count);
      if (grid.tileWidth > 0) expect(grid.tileWidth * grid.columns + 8 * (grid.columns - 1)).toBeLessThanOrEqual(width);
      if (grid.tileHeight > 0) expect(grid.tileHeight * grid.rows + 8 * (grid.rows - 1)).toBeLessThanOrEqual(height);
    }
  });

  it('copes with nobody', () => {
    expect(fitGrid(100, 100, 0, 8)).toMatchObject({ columns: 1, rows: 1 });
  });
});

describe('tilesPerPage', () => {
  it('is bounded on large screens and never zero', () => {
    expect(tilesPerPage(3000, 2000, 8)).toBe(25);
    expect(tilesPerPage(0, 0, 8)).toBe(1);
    expect(tilesPerPage(344, 590, 8)).toBeGreaterThanOrEqual(8);
  });
});
