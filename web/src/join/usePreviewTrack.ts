/** One local track for the mirror before the meeting; it is stopped when the page goes on, and opened anew there. */
import {
  createLocalAudioTrack,
  createLocalVideoTrack,
  type LocalAudioTrack,
  type LocalVideoTrack,
} from 'livekit-client';
import { useCallback, useEffect, useState } from 'react';
import { type DeviceProblem, deviceProblem } from '../lib/deviceProblem';

export interface PreviewTrack<T> {
  /** Undefined while the browser asks, when it refused, and when nobody wants it. */
  track: T | undefined;
  problem: DeviceProblem | undefined;
  /** Asks the browser again after a problem. */
  retry: () => void;
}

/** The camera, while wanted. */
export function useCameraPreview(wanted: boolean): PreviewTrack<LocalVideoTrack> {
  return usePreviewTrack('camera', createLocalVideoTrack, wanted);
}

/** The microphone, while wanted. */
export function useMicrophonePreview(wanted: boolean): PreviewTrack<LocalAudioTrack> {
  return usePreviewTrack('microphone', createLocalAudioTrack, wanted);
}

function usePreviewTrack<T extends { stop(): void }>(
  capture: 'microphone' | 'camera',
  open: () => Promise<T>,
  wanted: boolean,
): PreviewTrack<T> {
  const [attempt, setAttempt] = useState(0);
  const [track, setTrack] = useState<T>();
  const [problem, setProblem] = useState<DeviceProblem>();

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new attempt is a reason to open again.
  useEffect(() => {
    if (!wanted) return;
    let current = true;
    let opened: T | undefined;
    open().then(
      (result) => {
        if (!current) return result.stop();
        opened = result;
        setTrack(() => result);
      },
      (error: unknown) => {
        if (current) setProblem(deviceProblem(capture, error));
      },
    );
    return () => {
      current = false;
      opened?.stop();
      setTrack(undefined);
      setProblem(undefined);
    };
  }, [capture, open, wanted, attempt]);

  const retry = useCallback(() => setAttempt((count) => count + 1), []);
  return { track, problem, retry };
}
