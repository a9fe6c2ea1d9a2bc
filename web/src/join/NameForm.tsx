/** Joining in development mode: a room and a name are enough, the server makes the token. */
import { type FormEvent, type InputHTMLAttributes, useId, useState } from 'react';
import { type JoinDefaults, nameFlaw } from '../lib/joinDefaults';

interface NameFormProps {
  defaults: JoinDefaults;
  /** Whether the server is known to hand out tokens. */
  ready: boolean;
  onJoin: (who: { roomName: string; displayName: string }) => void;
}

export function NameForm({ defaults, ready, onJoin }: NameFormProps) {
  const [roomName, setRoomName] = useState(defaults.roomName || 'lobby');
  const [displayName, setDisplayName] = useState(defaults.displayName);
  const usable = [roomName, displayName].every((name) => name.trim() !== '' && !nameFlaw(name));

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (usable && ready) onJoin({ roomName: roomName.trim(), displayName: displayName.trim() });
  };

  return (
    <form onSubmit={submit}>
      <NameField label="Room" name="room" value={roomName} onType={setRoomName} autoComplete="off" spellCheck={false} />
      <NameField
        label="Your name"
        name="name"
        value={displayName}
        onType={setDisplayName}
        autoComplete="name"
        placeholder="How the others see you"
      />
      <button type="submit" className="button button-primary button-wide" disabled={!usable || !ready}>
        Join
      </button>
    </form>
  );
}

interface NameFieldProps extends InputHTMLAttributes<HTMLInputElement> {
  label: string;
  value: string;
  onType: (text: string) => void;
}

function NameField({ label, value, onType, ...input }: NameFieldProps) {
  const flawId = useId();
  const flaw = nameFlaw(value);
  return (
    <div className="field-with-flaw">
      <label className="field">
        <span>{label}</span>
        <input
          {...input}
          value={value}
          required
          aria-invalid={flaw !== undefined}
          aria-describedby={flawId}
          onChange={(event) => onType(event.target.value)}
        />
      </label>
      <p id={flawId} className="field-flaw" role="status">
        {flaw}
      </p>
    </div>
  );
}
