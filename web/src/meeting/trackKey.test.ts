import type { TrackReferenceOrPlaceholder } from '@livekit/components-react';
import { Track } from 'livekit-client';
import { describe, expect, it } from 'vitest';
import { focusOf, tilesOf, trackKey } from './trackKey';

function ref(identity: string, source: Track.Source, isLocal = false): TrackReferenceOrPlaceholder {
  const participant = { identity, isLocal };
  return { participant, source, publication: { source } } as unknown as TrackReferenceOrPlaceholder;
}

const OWN_CAMERA = ref('me', Track.Source.Camera, true);
const OWN_SCREEN = ref('me', Track.Source.ScreenShare, true);
const CAMERA = ref('ana', Track.Source.Camera);
const SCREEN = ref('ana', Track.Source.ScreenShare);

describe('tilesOf', () => {
  it('gives no tile to the own screen', () => {
    expect(tilesOf([OWN_CAMERA, OWN_SCREEN, CAMERA])).toEqual([OWN_CAMERA, CAMERA]);
    expect(tilesOf([OWN_CAMERA, SCREEN])).toEqual([OWN_CAMERA, SCREEN]);
  });
});

describe('focusOf', () => {
  it('is what was pinned, else a screen, else nothing', () => {
    expect(focusOf([OWN_CAMERA, CAMERA, SCREEN], trackKey(CAMERA))).toBe(CAMERA);
    expect(focusOf([OWN_CAMERA, CAMERA, SCREEN], undefined)).toBe(SCREEN);
    expect(focusOf([OWN_CAMERA, CAMERA], 'gone/camera')).toBeUndefined();
  });
});
