/** Above the stage: which room this is, how to invite others, how many are here. */
import { useParticipants } from '@livekit/components-react';
import { useState } from 'react';
import { Icon, Mark } from '../components/icons';
import { inviteLink } from '../lib/serverUrl';

interface TopBarProps {
  roomName: string;
  inviteHref: string | undefined;
  peopleOpen: boolean;
  onPeople: () => void;
}

export function TopBar({ roomName, inviteHref, peopleOpen, onPeople }: TopBarProps) {
  const count = useParticipants({ updateOnlyOn: [] }).length;
  return (
    <header className="top-bar">
      <Mark size={24} />
      <h1 title={roomName}>{roomName || 'Meeting'}</h1>
      {inviteHref !== undefined && <InviteButton href={inviteLink(inviteHref, roomName)} />}
      <button
        type="button"
        className="chip"
        aria-expanded={peopleOpen}
        aria-label={`Participants: ${count}`}
        title="Participants"
        onClick={onPeople}
      >
        <Icon name="people" size={18} />
        <span>{count}</span>
      </button>
    </header>
  );
}

/** Copies the link; where the clipboard is out of reach (plain http), shows it to be copied by hand. */
function InviteButton({ href }: { href: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(href);
      setCopied(true);
    } catch {
      window.prompt('Link to this room', href);
    }
  };
  return (
    <button type="button" className="chip" onClick={() => void copy()} onBlur={() => setCopied(false)}>
      <Icon name={copied ? 'check' : 'link'} size={18} />
      <span className="wide-only" role="status">
        {copied ? 'Link copied' : 'Copy link'}
      </span>
      <span className="visually-hidden narrow-only">Copy link</span>
    </button>
  );
}
