/** One participant's camera place, or one shared screen. */
import {
  isTrackReference,
  type TrackReferenceOrPlaceholder,
  useConnectionQualityIndicator,
  useIsSpeaking,
  useTrackMutedIndicator,
  VideoTrack,
} from '@livekit/components-react';
import { ConnectionQuality } from 'livekit-client';
import { Avatar } from '../components/Avatar';
import { Icon } from '../components/icons';
import { isScreen } from './trackKey';
import { useDisplayName, useMicrophoneOn } from './useParticipantValue';

interface TileProps {
  trackRef: TrackReferenceOrPlaceholder;
  pinned: boolean;
  onPin: () => void;
}

export function Tile({ trackRef, pinned, onPin }: TileProps) {
  const { participant } = trackRef;
  const name = useDisplayName(participant);
  const speaking = useIsSpeaking(participant);
  const screen = isScreen(trackRef);
  const label = screen ? `${name}’s screen` : name;
  const classes = ['tile', screen && 'tile-screen', speaking && !screen && 'tile-speaking'].filter(Boolean);

  return (
    <article className={classes.join(' ')} aria-label={label}>
      <Picture trackRef={trackRef} name={name} />
      <div className="tile-label">
        {!screen && <MicrophoneMark trackRef={trackRef} />}
        <span className="tile-name">
          <bdi>{name}</bdi>
          {screen ? '’s screen' : participant.isLocal && ' (you)'}
        </span>
        <QualityMark trackRef={trackRef} />
      </div>
      <button type="button" className="tile-pin" aria-label={`${pinned ? 'Unpin' : 'Pin'} ${label}`} onClick={onPin}>
        <Icon name={pinned ? 'unpin' : 'pin'} size={18} />
      </button>
    </article>
  );
}

function Picture({ trackRef, name }: { trackRef: TrackReferenceOrPlaceholder; name: string }) {
  const { participant } = trackRef;
  const { isMuted } = useTrackMutedIndicator(trackRef);
  if (!isTrackReference(trackRef) || isMuted || !trackRef.publication.isSubscribed) {
    return (
      <div className="tile-empty">
        <Avatar name={name} seed={participant.identity} />
      </div>
    );
  }
  const mirrored = participant.isLocal && !isScreen(trackRef);
  return <VideoTrack trackRef={trackRef} className={mirrored ? 'mirrored' : ''} playsInline />;
}

function MicrophoneMark({ trackRef }: { trackRef: TrackReferenceOrPlaceholder }) {
  const on = useMicrophoneOn(trackRef.participant);
  if (on) return null;
  return (
    <span className="tile-muted" title="Microphone off">
      <Icon name="microphoneOff" size={15} />
      <span className="visually-hidden">Microphone off</span>
    </span>
  );
}

function QualityMark({ trackRef }: { trackRef: TrackReferenceOrPlaceholder }) {
  const { quality } = useConnectionQualityIndicator({ participant: trackRef.participant });
  if (quality !== ConnectionQuality.Poor && quality !== ConnectionQuality.Lost) return null;
  const text = quality === ConnectionQuality.Lost ? 'Connection lost' : 'Weak connection';
  return (
    <span className="tile-quality" title={text}>
      <Icon name="signal" size={15} />
      <span className="visually-hidden">{text}</span>
    </span>
  );
}
