/** Browsers play no sound on a page nobody has clicked; this is the click. */
import { useRoomContext, useStartAudio } from '@livekit/components-react';
import { Icon } from '../components/icons';

const NO_PROPS = {};

export function AudioUnlock() {
  const room = useRoomContext();
  const { canPlayAudio } = useStartAudio({ room, props: NO_PROPS });
  if (canPlayAudio) return null;
  return (
    <div className="banner" role="alert">
      <p>Your browser holds the sound back.</p>
      <button type="button" className="button button-primary button-small" onClick={() => void room.startAudio()}>
        <Icon name="sound" size={18} /> Click to hear
      </button>
    </div>
  );
}
