/** One local track for the mirror before the meeting; it is stopped when the page goes on, and opened anew there. */
import {
  createLocalAudioTrack,
  createLocalVideoTrack,
  type LocalAudioTrack,
  type LocalVideoTrack,
} from 'livekit-client';
import { useEffect, useState } from 'react';
import { deviceProblem } from '../lib/deviceProblem';
import type { Problem } from '../lib/problem';

type PreviewableTrack = LocalAudioTrack | LocalVideoTrack;

export interface PreviewTrack {
  track?: PreviewableTrack;
  problem?: Problem;
}

export function usePreviewTrack(capture: 'microphone' | 'camera', wanted: boolean): PreviewTrack {
  const [preview, setPreview] = useState<PreviewTrack>({});
  useEffect(() => {
    if (!wanted) return;
    let current = true;
    let opened: PreviewableTrack | undefined;
    const open = capture === 'camera' ? createLocalVideoTrack : createLocalAudioTrack;
    open().then(
      (track) => {
        if (!current) return track.stop();
        opened = track;
        setPreview({ track });
      },
      (error: unknown) => {
        const problem = deviceProblem(capture, error);
        if (current && problem) setPreview({ problem });
      },
    );
    return () => {
      current = false;
      opened?.stop();
      setPreview({});
    };
  }, [capture, wanted]);
  return preview;
}
