/** Below the stage: microphone, camera, screen, chat, devices, leave. */
import { useLocalParticipantPermissions, useRoomContext } from '@livekit/components-react';
import { Track } from 'livekit-client';
import { useState } from 'react';
import { Icon, type IconName } from '../components/icons';
import type { MeetingSession } from './meetingSession';
import { mayPublish } from './publishRights';
import { useCameraOn, useMicrophoneOn, useSharingScreen } from './useParticipantValue';

interface ControlBarProps {
  session: MeetingSession;
  connected: boolean;
  chatOpen: boolean;
  unread: number;
  onChat: () => void;
  onDevices: () => void;
}

/** Phones have no screen to give. */
const CAN_SHARE_SCREEN = typeof navigator.mediaDevices?.getDisplayMedia === 'function';

export function ControlBar({ session, connected, chatOpen, unread, onChat, onDevices }: ControlBarProps) {
  const { localParticipant } = useRoomContext();
  const permission = useLocalParticipantPermissions();
  const microphoneOn = useMicrophoneOn(localParticipant);
  const cameraOn = useCameraOn(localParticipant);
  const sharing = useSharingScreen(localParticipant);
  const usable = (source: Track.Source) => connected && mayPublish(permission, source);

  return (
    <nav className="control-bar" aria-label="Meeting controls">
      <CaptureButton
        on={microphoneOn}
        icons={['microphone', 'microphoneOff']}
        words={['Mute microphone', 'Unmute microphone']}
        usable={usable(Track.Source.Microphone)}
        onToggle={() => session.setMicrophone(!microphoneOn)}
      />
      <CaptureButton
        on={cameraOn}
        icons={['camera', 'cameraOff']}
        words={['Turn camera off', 'Turn camera on']}
        usable={usable(Track.Source.Camera)}
        onToggle={() => session.setCamera(!cameraOn)}
      />
      {CAN_SHARE_SCREEN && (
        <CaptureButton
          on={sharing}
          active={sharing}
          icons={['screenOff', 'screen']}
          words={['Stop sharing', 'Share screen']}
          usable={usable(Track.Source.ScreenShare)}
          onToggle={() => session.setScreenShare(!sharing)}
        />
      )}
      <button
        type="button"
        className={`control ${chatOpen ? 'control-active' : ''}`}
        aria-label={unread > 0 ? `Chat, ${unread} new` : 'Chat'}
        title="Chat"
        aria-expanded={chatOpen}
        onClick={onChat}
      >
        <Icon name="chat" />
        {unread > 0 && <span className="badge">{unread > 99 ? '99+' : unread}</span>}
      </button>
      <button type="button" className="control" aria-label="Choose devices" title="Choose devices" onClick={onDevices}>
        <Icon name="settings" />
      </button>
      <button type="button" className="control control-leave" onClick={() => void session.leave()}>
        <Icon name="leave" />
        <span>Leave</span>
      </button>
    </nav>
  );
}

interface CaptureButtonProps {
  on: boolean;
  /** Highlighted while on, for what one should not forget. */
  active?: boolean;
  /** Icon and words while on, and while off. */
  icons: readonly [IconName, IconName];
  words: readonly [string, string];
  usable: boolean;
  onToggle: () => Promise<void>;
}

function CaptureButton({ on, active, icons, words, usable, onToggle }: CaptureButtonProps) {
  const [busy, setBusy] = useState(false);
  const toggle = async () => {
    setBusy(true);
    await onToggle();
    setBusy(false);
  };
  const word = on ? words[0] : words[1];
  const off = active === undefined && !on;
  return (
    <button
      type="button"
      className={`control ${off ? 'control-off' : ''} ${active ? 'control-active' : ''}`}
      aria-label={word}
      aria-busy={busy}
      title={usable ? word : `${word}: not possible now, or not allowed by your token`}
      disabled={!usable || busy}
      onClick={() => void toggle()}
    >
      <Icon name={on ? icons[0] : icons[1]} />
    </button>
  );
}
