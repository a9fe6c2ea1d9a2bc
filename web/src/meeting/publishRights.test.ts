import { Track } from 'livekit-client';
import { describe, expect, it } from 'vitest';
import { mayPublish } from './publishRights';

describe('mayPublish', () => {
  it('follows canPublish and the list of sources', () => {
    const some = { canPublish: true, canPublishSources: [2] };
    expect(mayPublish(undefined, Track.Source.Camera)).toBe(true);
    expect(mayPublish({ canPublish: true, canPublishSources: [] }, Track.Source.Camera)).toBe(true);
    expect(mayPublish(some, Track.Source.Microphone)).toBe(true);
    expect(mayPublish(some, Track.Source.Camera)).toBe(false);
    expect(mayPublish({ canPublish: false, canPublishSources: [] }, Track.Source.Microphone)).toBe(false);
  });
});
