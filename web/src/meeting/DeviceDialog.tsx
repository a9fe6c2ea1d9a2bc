/** Which microphone, camera and speaker to use. */
import { useMediaDeviceSelect } from '@livekit/components-react';
import { supportsAudioOutputSelection } from 'livekit-client';
import { useEffect, useId, useRef } from 'react';
import { Icon } from '../components/icons';
import type { MeetingSession } from './meetingSession';

interface DeviceDialogProps {
  session: MeetingSession;
  onClose: () => void;
}

export function DeviceDialog({ session, onClose }: DeviceDialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => dialog.current?.showModal(), []);

  return (
    <dialog ref={dialog} className="dialog" aria-labelledby={titleId} onClose={onClose}>
      <header>
        <h2 id={titleId}>Devices</h2>
        <button
          type="button"
          className="button-plain"
          aria-label="Close devices"
          onClick={() => dialog.current?.close()}
        >
          <Icon name="close" />
        </button>
      </header>
      <DeviceField session={session} kind="audioinput" label="Microphone" />
      <DeviceField session={session} kind="videoinput" label="Camera" />
      {supportsAudioOutputSelection() ? (
        <DeviceField session={session} kind="audiooutput" label="Speaker" />
      ) : (
        <p className="field-hint">In this browser the system chooses the speaker.</p>
      )}
    </dialog>
  );
}

function DeviceField({ session, kind, label }: { session: MeetingSession; kind: MediaDeviceKind; label: string }) {
  const { devices, activeDeviceId } = useMediaDeviceSelect({ kind });
  const named = devices.filter((device) => device.deviceId !== '');
  return (
    <label className="field">
      <span>{label}</span>
      <select
        value={activeDeviceId}
        disabled={named.length === 0}
        onChange={(event) => void session.chooseDevice(kind, event.target.value)}
      >
        {!named.some((device) => device.deviceId === activeDeviceId) && (
          <option value={activeDeviceId}>
            {named.length === 0 ? `No ${label.toLowerCase()} to choose` : 'Default'}
          </option>
        )}
        {named.map((device, index) => (
          <option key={device.deviceId} value={device.deviceId}>
            {device.label || `${label} ${index + 1}`}
          </option>
        ))}
      </select>
    </label>
  );
}
