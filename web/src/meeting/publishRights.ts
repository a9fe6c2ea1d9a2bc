/** What the token lets this participant send, in terms of the page's buttons. */
import { Track } from 'livekit-client';

/** The part of livekit's ParticipantPermission that matters here. */
export interface PublishPermission {
  canPublish: boolean;
  /** `livekit.TrackSource` numbers; empty = all. */
  canPublishSources: readonly number[];
}

/** `livekit.TrackSource`, protocol numbers. */
const SOURCE_NUMBER: Partial<Record<Track.Source, number>> = {
  [Track.Source.Camera]: 1,
  [Track.Source.Microphone]: 2,
  [Track.Source.ScreenShare]: 3,
};

/** Unknown permissions count as allowed: the server refuses what is not. */
export function mayPublish(permission: PublishPermission | undefined, source: Track.Source): boolean {
  if (!permission) return true;
  if (!permission.canPublish) return false;
  const number = SOURCE_NUMBER[source];
  return (
    permission.canPublishSources.length === 0 || (number !== undefined && permission.canPublishSources.includes(number))
  );
}
