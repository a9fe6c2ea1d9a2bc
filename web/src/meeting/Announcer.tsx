/** Tells screen readers who comes and goes. Shows nothing. */
import { useRoomContext } from '@livekit/components-react';
import { ConnectionState, type Participant, RoomEvent } from 'livekit-client';
import { useEffect, useState } from 'react';
import { shownName } from '../lib/plainText';

export function Announcer() {
  const room = useRoomContext();
  const [text, setText] = useState('');
  useEffect(() => {
    const came = (participant: Participant) => setText(`${shownName(participant)} joined`);
    // A connection that has to be made anew takes everybody away before it says so: then nobody has left.
    const went = (participant: Participant) =>
      queueMicrotask(() => {
        if (room.state === ConnectionState.Connected) setText(`${shownName(participant)} left`);
      });
    room.on(RoomEvent.ParticipantConnected, came).on(RoomEvent.ParticipantDisconnected, went);
    return () => {
      room.off(RoomEvent.ParticipantConnected, came).off(RoomEvent.ParticipantDisconnected, went);
    };
  }, [room]);
  return (
    <p className="visually-hidden" role="log">
      {text}
    </p>
  );
}
