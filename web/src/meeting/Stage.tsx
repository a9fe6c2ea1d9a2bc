/** Everybody's pictures: an even grid, or one large tile with the others beside it. */
import { type TrackReferenceOrPlaceholder, usePagination, useTracks } from '@livekit/components-react';
import { Track } from 'livekit-client';
import { useRef, useState } from 'react';
import { Icon } from '../components/icons';
import { fitGrid, tilesPerPage } from '../lib/fitGrid';
import { Tile } from './Tile';
import { focusOf, trackKey } from './trackKey';
import { type Size, useElementSize } from './useElementSize';

const GAP_PX = 8;
const SOURCES = [
  { source: Track.Source.Camera, withPlaceholder: true },
  { source: Track.Source.ScreenShare, withPlaceholder: false },
];

export function Stage() {
  const area = useRef<HTMLDivElement>(null);
  const size = useElementSize(area);
  const refs = useTracks(SOURCES, { onlySubscribed: false });
  const [pinnedKey, setPinnedKey] = useState<string>();
  const focus = focusOf(refs, pinnedKey);
  const layout = { refs, size, pinnedKey, onPin: setPinnedKey };
  return (
    <div className="stage" ref={area}>
      {focus ? <FocusLayout {...layout} focus={focus} /> : <GridLayout {...layout} />}
    </div>
  );
}

interface LayoutProps {
  refs: TrackReferenceOrPlaceholder[];
  size: Size;
  pinnedKey: string | undefined;
  onPin: (key: string | undefined) => void;
}

function GridLayout({ refs, size, onPin }: LayoutProps) {
  const pages = usePagination(tilesPerPage(size.width, size.height, GAP_PX), refs);
  const grid = fitGrid(size.width, size.height, pages.tracks.length, GAP_PX);
  return (
    <>
      <div
        className="grid"
        style={{
          '--columns': grid.columns,
          '--tile-width': `${grid.tileWidth}px`,
          '--tile-height': `${grid.tileHeight}px`,
        }}
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

function FocusLayout({ refs, size, pinnedKey, onPin, focus }: LayoutProps & { focus: TrackReferenceOrPlaceholder }) {
  const focusKey = trackKey(focus);
  const others = refs.filter((ref) => trackKey(ref) !== focusKey);
  const upright = size.height > size.width;
  return (
    <div className={`focus ${upright ? 'focus-upright' : ''}`}>
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
