/** Names one tile of the stage: a participant's camera place or screen, whether or not it is published. */
import { isTrackReference, type TrackReferenceOrPlaceholder } from '@livekit/components-react';
import { Track } from 'livekit-client';

export function trackKey(ref: TrackReferenceOrPlaceholder): string {
  return `${ref.participant.identity}/${ref.source}`;
}

/**
 * The tile that gets the stage: the one the user pinned, else the newest screen of somebody else
 * (one's own screen on one's own screen would be a hall of mirrors).
 */
export function focusOf(
  refs: readonly TrackReferenceOrPlaceholder[],
  pinnedKey: string | undefined,
): TrackReferenceOrPlaceholder | undefined {
  const pinned = refs.find((ref) => trackKey(ref) === pinnedKey);
  return pinned ?? refs.findLast((ref) => isScreen(ref) && isTrackReference(ref) && !ref.participant.isLocal);
}

export function isScreen(ref: TrackReferenceOrPlaceholder): boolean {
  return ref.source === Track.Source.ScreenShare;
}
