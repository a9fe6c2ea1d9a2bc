/** Above the stage: which room this is, how to invite others, how many are here. */
import { useParticipants } from '@livekit/components-react';
import { Icon, Mark } from '../components/icons';
import { plainName } from '../lib/plainText';
import { CopyLink } from './CopyLink';

interface TopBarProps {
  roomName: string;
  inviteLink: string | undefined;
  peopleOpen: boolean;
  onPeople: () => void;
}

export function TopBar({ roomName, inviteLink, peopleOpen, onPeople }: TopBarProps) {
  const name = plainName(roomName);
  const count = useParticipants({ updateOnlyOn: [] }).length;
  return (
    <header className="top-bar">
      <Mark size={24} />
      <h1 title={name}>
        <bdi>{name || 'Meeting'}</bdi>
      </h1>
      {inviteLink !== undefined && <CopyLink href={inviteLink} label="Copy link" className="chip" shrinks />}
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
