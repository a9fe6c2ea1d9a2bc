/** Arranges equal tiles in a rectangle so that pictures come out as large as possible. Pure arithmetic, all in px. */

export interface Grid {
  columns: number;
  rows: number;
  tileWidth: number;
  tileHeight: number;
}

/**
 * Tiles are at most 16:9 wide. They may be taller where that fills the space, but not so tall that a camera's
 * 16:9 picture loses much at its sides; on an upright phone a square is worth it.
 */
const RATIO_MAX = 16 / 9;
const RATIO_MIN = 4 / 3;
const RATIO_MIN_UPRIGHT = 1;
/** Narrower tiles say nothing; the rest goes to further pages. */
const TILE_WIDTH_MIN = 150;
/** More moving pictures at once than this help nobody and cost every browser. */
const TILES_MAX = 25;

export function fitGrid(width: number, height: number, count: number, gap: number): Grid {
  let best: Grid = { columns: 1, rows: Math.max(1, count), tileWidth: 0, tileHeight: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const grid = gridWith(columns, width, height, count, gap);
    if (grid.tileWidth * grid.tileHeight > best.tileWidth * best.tileHeight) best = grid;
  }
  return best;
}

/** How many tiles of the smallest useful size fit, at least one. */
export function tilesPerPage(width: number, height: number, gap: number): number {
  const columns = Math.max(1, Math.floor((width + gap) / (TILE_WIDTH_MIN + gap)));
  const tileHeight = (Math.max(width, 1) - gap * (columns - 1)) / columns / RATIO_MAX;
  const rows = Math.max(1, Math.floor((height + gap) / (tileHeight + gap)));
  return Math.min(columns * rows, TILES_MAX);
}

function gridWith(columns: number, width: number, height: number, count: number, gap: number): Grid {
  const rows = Math.ceil(count / columns);
  const cellWidth = Math.max(0, (width - gap * (columns - 1)) / columns);
  const cellHeight = Math.max(0, (height - gap * (rows - 1)) / rows);
  const tileWidth = Math.min(cellWidth, cellHeight * RATIO_MAX);
  const tileHeight = Math.min(cellHeight, tileWidth / (height > width ? RATIO_MIN_UPRIGHT : RATIO_MIN));
  return { columns, rows, tileWidth: Math.floor(tileWidth), tileHeight: Math.floor(tileHeight) };
}
