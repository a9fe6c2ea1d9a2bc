/** The mirror before the meeting: own camera, microphone level, and a switch for each. */
import { useTrackVolume } from '@livekit/components-react';
import type { LocalAudioTrack, LocalVideoTrack } from 'livekit-client';
import { useEffect, useRef } from 'react';
import { Icon } from '../components/icons';
import { type DeviceProblem, jointProblem } from '../lib/deviceProblem';
import type { Problem } from '../lib/problem';
import type { PreviewTrack } from './usePreviewTrack';

/** What the user wants on when the meeting begins. */
export interface DeviceWishes {
  microphone: boolean;
  camera: boolean;
}

interface DevicePreviewProps {
  wishes: DeviceWishes;
  camera: PreviewTrack<LocalVideoTrack>;
  microphone: PreviewTrack<LocalAudioTrack>;
  onChange: (change: Partial<DeviceWishes>) => void;
}

export function DevicePreview({ wishes, camera, microphone, onChange }: DevicePreviewProps) {
  return (
    <div className="preview">
      <div className="preview-picture">
        {camera.track ? <Picture track={camera.track} /> : <p>{placeholder(wishes.camera, camera.problem)}</p>}
        <div className="preview-switches">
          <DeviceSwitch
            capture="microphone"
            wanted={wishes.microphone}
            preview={microphone}
            onChange={(wanted) => onChange({ microphone: wanted })}
          />
          <DeviceSwitch
            capture="camera"
            wanted={wishes.camera}
            preview={camera}
            onChange={(wanted) => onChange({ camera: wanted })}
          />
        </div>
      </div>
      {microphone.track && <Level track={microphone.track} />}
      {previewProblems(microphone.problem, camera.problem).map((problem) => (
        <PreviewProblem key={problem.title} problem={problem} />
      ))}
    </div>
  );
}

function previewProblems(microphone: DeviceProblem | undefined, camera: DeviceProblem | undefined): Problem[] {
  const joint = microphone && camera && jointProblem(microphone, camera);
  return joint ? [joint] : [microphone, camera].filter((problem) => problem !== undefined);
}

function placeholder(wanted: boolean, problem: Problem | undefined): string {
  if (problem) return 'No picture';
  return wanted ? 'Waiting for the camera…' : 'Your camera is off';
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
  wanted: boolean;
  preview: PreviewTrack<unknown>;
  onChange: (wanted: boolean) => void;
}

/** Off after a problem, too: the meeting then starts without the device. Clicking tries it again. */
function DeviceSwitch({ capture, wanted, preview, onChange }: DeviceSwitchProps) {
  const on = wanted && !preview.problem;
  return (
    <button
      type="button"
      className={`control ${on ? '' : 'control-off'}`}
      aria-pressed={on}
      aria-label={`Join with ${capture}`}
      title={`Join with ${capture} ${on ? 'on' : 'off'}`}
      onClick={() => (preview.problem ? preview.retry() : onChange(!wanted))}
    >
      <Icon name={on ? capture : `${capture}Off`} />
    </button>
  );
}

function PreviewProblem({ problem }: { problem: Problem }) {
  return (
    <div className="preview-problem" role="status">
      <strong>{problem.title}.</strong> {problem.text} You can join all the same.
      {problem.hints && <p className="muted">{problem.hints[0]}</p>}
    </div>
  );
}
