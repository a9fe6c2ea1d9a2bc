/** Who is here, and what each of them has on. */
import { useIsSpeaking, useParticipants } from '@livekit/components-react';
import { type Participant, ParticipantKind } from 'livekit-client';
import { Avatar } from '../components/Avatar';
import { Icon } from '../components/icons';
import { Panel } from './Panel';
import { useCameraOn, useDisplayName, useMicrophoneOn, useSharingScreen } from './useParticipantValue';

export function PeoplePanel({ onClose }: { onClose: () => void }) {
  const participants = useParticipants({ updateOnlyOn: [] });
  return (
    <Panel title={`Participants (${participants.length})`} onClose={onClose}>
      <ul className="people">
        {participants.map((participant) => (
          <Person key={participant.identity} participant={participant} />
        ))}
      </ul>
    </Panel>
  );
}

function Person({ participant }: { participant: Participant }) {
  const name = useDisplayName(participant);
  const speaking = useIsSpeaking(participant);
  const microphoneOn = useMicrophoneOn(participant);
  const cameraOn = useCameraOn(participant);
  const sharing = useSharingScreen(participant);
  return (
    <li className={speaking ? 'person person-speaking' : 'person'}>
      <Avatar name={name} seed={participant.identity} size="small" />
      <span className="person-name">
        <bdi>{name}</bdi>
        {participant.isLocal && <small>you</small>}
        {participant.kind === ParticipantKind.AGENT && <small>agent</small>}
      </span>
      {sharing && <Mark icon="screen" text="Shares a screen" />}
      <Mark icon={cameraOn ? 'camera' : 'cameraOff'} text={cameraOn ? 'Camera on' : 'Camera off'} />
      <Mark
        icon={microphoneOn ? 'microphone' : 'microphoneOff'}
        text={microphoneOn ? 'Microphone on' : 'Microphone off'}
      />
    </li>
  );
}

function Mark({ icon, text }: { icon: Parameters<typeof Icon>[0]['name']; text: string }) {
  return (
    <span className="person-mark" title={text}>
      <Icon name={icon} size={18} />
      <span className="visually-hidden">{text}</span>
    </span>
  );
}
