/** Reads something of a Participant and re-reads it at the given events. */
import { type Participant, ParticipantEvent } from 'livekit-client';
import { useCallback, useSyncExternalStore } from 'react';
import { shownName } from '../lib/plainText';

/** Everything that changes which tracks a participant has and whether they are muted. */
const TRACK_EVENTS = [
  ParticipantEvent.TrackMuted,
  ParticipantEvent.TrackUnmuted,
  ParticipantEvent.TrackPublished,
  ParticipantEvent.TrackUnpublished,
  ParticipantEvent.LocalTrackPublished,
  ParticipantEvent.LocalTrackUnpublished,
] as const;

const NAME_EVENTS = [ParticipantEvent.ParticipantNameChanged] as const;

type ReadEvent = (typeof TRACK_EVENTS)[number] | (typeof NAME_EVENTS)[number];

/** Whether the participant's microphone is published and not muted. */
export function useMicrophoneOn(participant: Participant): boolean {
  return useParticipantValue(participant, TRACK_EVENTS, () => participant.isMicrophoneEnabled);
}

/** Whether the participant's camera is published and not muted. */
export function useCameraOn(participant: Participant): boolean {
  return useParticipantValue(participant, TRACK_EVENTS, () => participant.isCameraEnabled);
}

/** Whether the participant shares a screen. */
export function useSharingScreen(participant: Participant): boolean {
  return useParticipantValue(participant, TRACK_EVENTS, () => participant.isScreenShareEnabled);
}

/** The name to show. */
export function useDisplayName(participant: Participant): string {
  return useParticipantValue(participant, NAME_EVENTS, () => shownName(participant));
}

/** `events` must be a constant; `read` must return a primitive. */
function useParticipantValue<T extends string | boolean>(
  participant: Participant,
  events: readonly ReadEvent[],
  read: () => T,
): T {
  const subscribe = useCallback(
    (changed: () => void) => {
      for (const event of events) participant.on(event, changed);
      return () => {
        for (const event of events) participant.off(event, changed);
      };
    },
    [participant, events],
  );
  return useSyncExternalStore(subscribe, read);
}
