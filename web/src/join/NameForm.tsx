/** Joining in development mode: a room and a name are enough, the server makes the token. */
import { type FormEvent, useState } from 'react';
import { type JoinDefaults, NAME_LENGTH_MAX } from '../lib/joinDefaults';

interface NameFormProps {
  defaults: JoinDefaults;
  /** Whether the server is known to hand out tokens. */
  ready: boolean;
  onJoin: (who: { roomName: string; displayName: string }) => void;
}

export function NameForm({ defaults, ready, onJoin }: NameFormProps) {
  const [roomName, setRoomName] = useState(defaults.roomName || 'lobby');
  const [displayName, setDisplayName] = useState(defaults.displayName);
  const complete = roomName.trim() !== '' && displayName.trim() !== '';

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (complete && ready) onJoin({ roomName: roomName.trim(), displayName: displayName.trim() });
  };

  return (
    <form onSubmit={submit}>
      <label className="field">
        <span>Room</span>
        <input
          name="room"
          value={roomName}
          maxLength={NAME_LENGTH_MAX}
          autoComplete="off"
          spellCheck={false}
          required
          onChange={(event) => setRoomName(event.target.value)}
        />
      </label>
      <label className="field">
        <span>Your name</span>
        <input
          name="name"
          value={displayName}
          maxLength={NAME_LENGTH_MAX}
          autoComplete="name"
          placeholder="How the others see you"
          required
          onChange={(event) => setDisplayName(event.target.value)}
        />
      </label>
      <button type="submit" className="button button-primary button-wide" disabled={!complete || !ready}>
        Join
      </button>
    </form>
  );
}
