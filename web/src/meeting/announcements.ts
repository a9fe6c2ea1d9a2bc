/** Who comes and goes, in words. What a connection that is made anew takes away and gives back is neither. */
import { ConnectionState, type Participant, type Room, RoomEvent } from 'livekit-client';
import { shownName } from '../lib/plainText';

/** Passes each sentence to `say`; returns what ends that. */
export function announceTo(room: Room, say: (text: string) => void): () => void {
  /** Taken away with the connection: nobody was told that they left, so nobody is told when they are back. */
  const taken = new Set<string>();
  const came = (participant: Participant) => {
    if (!taken.delete(participant.identity)) say(`${shownName(participant)} joined`);
  };
  // The state that says why everybody goes comes right after they went.
  const went = (participant: Participant) =>
    queueMicrotask(() => {
      const gone = room.state === ConnectionState.Reconnecting || room.state === ConnectionState.Disconnected;
      if (gone) taken.add(participant.identity);
      else say(`${shownName(participant)} left`);
    });
  room.on(RoomEvent.ParticipantConnected, came).on(RoomEvent.ParticipantDisconnected, went);
  return () => {
    room.off(RoomEvent.ParticipantConnected, came).off(RoomEvent.ParticipantDisconnected, went);
  };
}
