/** The mirror before the meeting: own camera, microphone level, and a switch for each. */

import { useTrackVolume } from '@livekit/components-react';
import type { LocalAudioTrack, LocalVideoTrack } from 'livekit-client';
import { useEffect, useRef } from 'react';
import { Icon } from '../components/icons';
import type { Problem } from '../lib/problem';
import { usePreviewTrack } from './usePreviewTrack';

export interface DeviceWishes {
  microphone: boolean;
  camera: boolean;
}

interface DevicePreviewProps {
  /** False where the browser hides the devices from the page. */
  available: boolean;
  devices: DeviceWishes;
  onChange: (devices: DeviceWishes) => void;
}

export function DevicePreview({ available, devices, onChange }: DevicePreviewProps) {
  const camera = usePreviewTrack('camera', available && devices.camera);
  const microphone = usePreviewTrack('microphone', available && devices.microphone);

  return (
    <div className="preview">
      <div className="preview-picture">
        {camera.track ? <Picture track={camera.track as LocalVideoTrack} /> : <p>{placeholder(available, devices)}</p>}
        <div className="preview-switches">
          <DeviceSwitch
            capture="microphone"
            on={available && devices.microphone}
            disabled={!available}
            onToggle={() => onChange({ ...devices, microphone: !devices.microphone })}
          />
          <DeviceSwitch
            capture="camera"
            on={available && devices.camera}
            disabled={!available}
            onToggle={() => onChange({ ...devices, camera: !devices.camera })}
          />
        </div>
      </div>
      {microphone.track && <Level track={microphone.track as LocalAudioTrack} />}
      {[microphone.problem, camera.problem].map(
        (problem) => problem && <PreviewProblem key={problem.title} problem={problem} />,
      )}
    </div>
  );
}

function placeholder(available: boolean, devices: DeviceWishes): string {
  if (!available) return 'Camera and microphone are not available here';
  return devices.camera ? 'Waiting for the camera…' : 'Your camera is off';
}

function Picture({ track }: { track: LocalVideoTrack }) {
  const element = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const video = element.current;
    if (!video) return;
    track.attach(video);
    return () => void track.detach(video);
  }, [track]);
  return <video ref={element} className="mirrored" playsInline muted autoPlay aria-label="Your camera" />;
}

function Level({ track }: { track: LocalAudioTrack }) {
  const volume = useTrackVolume(track);
  return (
    <div className="level" role="img" aria-label="Microphone level">
      <span style={{ '--level': Math.min(1, volume * 2) }} />
    </div>
  );
}

interface DeviceSwitchProps {
  capture: 'microphone' | 'camera';
  on: boolean;
  disabled: boolean;
  onToggle: () => void;
}

function DeviceSwitch({ capture, on, disabled, onToggle }: DeviceSwitchProps) {
  return (
    <button
      type="button"
      className={`control ${on ? '' : 'control-off'}`}
      aria-pressed={on}
      aria-label={`Join with ${capture}`}
      title={`Join with ${capture} ${on ? 'on' : 'off'}`}
      disabled={disabled}
      onClick={onToggle}
    >
      <Icon name={on ? capture : `${capture}Off`} />
    </button>
  );
}

function PreviewProblem({ problem }: { problem: Problem }) {
  return (
    <div className="preview-problem" role="status">
      <strong>{problem.title}.</strong> {problem.text} You can join without it.
      {problem.hints && <p className="muted">{problem.hints[0]}</p>}
    </div>
  );
}
