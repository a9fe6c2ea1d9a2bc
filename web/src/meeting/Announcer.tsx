/** Tells screen readers who comes and goes. Shows nothing. */
import { useRoomContext } from '@livekit/components-react';
import { useEffect, useState } from 'react';
import { announceTo } from './announcements';

export function Announcer() {
  const room = useRoomContext();
  const [text, setText] = useState('');
  useEffect(() => announceTo(room, setText), [room]);
  return (
    <p className="visually-hidden" role="log">
      {text}
    </p>
  );
}
