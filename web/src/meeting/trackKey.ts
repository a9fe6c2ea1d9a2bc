/** Names one tile of the stage: a participant's camera place or screen, whether or not it is published. */
import { isTrackReference, type TrackReferenceOrPlaceholder } from '@livekit/components-react';
import { Track } from 'livekit-client';

export function trackKey(ref: TrackReferenceOrPlaceholder): string {
  return `${ref.participant.identity}/${ref.source}`;
}

/** What gets a tile: all but one's own screen, which on one's own screen would be a hall of mirrors. */
export function tilesOf(refs: readonly TrackReferenceOrPlaceholder[]): TrackReferenceOrPlaceholder[] {
  return refs.filter((ref) => !(isScreen(ref) && ref.participant.isLocal));
}

/** The tile that gets the stage: the one the user pinned, else the newest screen. */
export function focusOf(
  tiles: readonly TrackReferenceOrPlaceholder[],
  pinnedKey: string | undefined,
): TrackReferenceOrPlaceholder | undefined {
  const pinned = tiles.find((ref) => trackKey(ref) === pinnedKey);
  return pinned ?? tiles.findLast((ref) => isScreen(ref) && isTrackReference(ref));
}

export function isScreen(ref: TrackReferenceOrPlaceholder): boolean {
  return ref.source === Track.Source.ScreenShare;
}
