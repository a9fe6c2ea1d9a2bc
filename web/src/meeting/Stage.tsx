/** Everybody's pictures: an even grid, or one large tile with the others beside it. */
import { type TrackReferenceOrPlaceholder, usePagination, useTracks } from '@livekit/components-react';
import { Track } from 'livekit-client';
import { useRef, useState } from 'react';
import { Icon } from '../components/icons';
import { fitGrid, tilesPerPage } from '../lib/fitGrid';
import { Tile } from './Tile';
import { focusOf, tilesOf, trackKey } from './trackKey';
import { useElementSize } from './useElementSize';

const GAP_PX = 8;
const SOURCES = [
  { source: Track.Source.Camera, withPlaceholder: true },
  { source: Track.Source.ScreenShare, withPlaceholder: false },
];

export function Stage() {
  const refs = useTracks(SOURCES, { onlySubscribed: false });
  const [pinnedKey, setPinnedKey] = useState<string>();
  const tiles = tilesOf(refs);
  const focus = focusOf(tiles, pinnedKey);
  const layout = { refs: tiles, pinnedKey, onPin: setPinnedKey };
  return (
    <div className="stage">
      {tiles.length < refs.length && (
        <p className="sharing" role="status">
          <Icon name="screen" size={18} />
          You are sharing your screen
        </p>
      )}
      {focus ? <FocusLayout {...layout} focus={focus} /> : <GridLayout {...layout} />}
    </div>
  );
}

interface LayoutProps {
  refs: TrackReferenceOrPlaceholder[];
  pinnedKey: string | undefined;
  onPin: (key: string | undefined) => void;
}

function GridLayout({ refs, onPin }: LayoutProps) {
  const area = useRef<HTMLDivElement>(null);
  const { width, height } = useElementSize(area);
  const pages = usePagination(tilesPerPage(width, height, GAP_PX), refs);
  const grid = fitGrid(width, height, pages.tracks.length, GAP_PX);
  return (
    <>
      <div
        ref={area}
        className="grid"
        style={{ '--tile-width': `${grid.tileWidth}px`, '--tile-height': `${grid.tileHeight}px` }}
      >
        {pages.tracks.map((ref) => (
          <Tile key={trackKey(ref)} trackRef={ref} pinned={false} onPin={() => onPin(trackKey(ref))} />
        ))}
      </div>
      {pages.totalPageCount > 1 && (
        <nav className="pager" aria-label="Pages of participants">
          <button type="button" className="button-plain" aria-label="Previous page" onClick={pages.prevPage}>
            <Icon name="previous" />
          </button>
          <span>
            {pages.currentPage} / {pages.totalPageCount}
          </span>
          <button type="button" className="button-plain" aria-label="Next page" onClick={pages.nextPage}>
            <Icon name="next" />
          </button>
        </nav>
      )}
    </>
  );
}

function FocusLayout({ refs, pinnedKey, onPin, focus }: LayoutProps & { focus: TrackReferenceOrPlaceholder }) {
  const area = useRef<HTMLDivElement>(null);
  const { width, height } = useElementSize(area);
  const focusKey = trackKey(focus);
  const others = refs.filter((ref) => trackKey(ref) !== focusKey);
  return (
    <div ref={area} className={`focus ${height > width ? 'focus-upright' : ''}`}>
      <Tile
        key={focusKey}
        trackRef={focus}
        pinned={focusKey === pinnedKey}
        onPin={() => onPin(focusKey === pinnedKey ? undefined : focusKey)}
      />
      {others.length > 0 && (
        <div className="strip">
          {others.map((ref) => (
            <Tile key={trackKey(ref)} trackRef={ref} pinned={false} onPin={() => onPin(trackKey(ref))} />
          ))}
        </div>
      )}
    </div>
  );
}
