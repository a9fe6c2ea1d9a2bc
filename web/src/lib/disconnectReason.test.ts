import { DisconnectReason } from 'livekit-client';
import { describe, expect, it } from 'vitest';
import { comesBack, disconnectProblem } from './disconnectReason';

describe('comesBack', () => {
  it.each([
    DisconnectReason.DUPLICATE_IDENTITY,
    DisconnectReason.PARTICIPANT_REMOVED,
    DisconnectReason.ROOM_DELETED,
    DisconnectReason.ROOM_CLOSED,
  ])('respects a decision (%i)', (reason) => {
    expect(comesBack(reason)).toBe(false);
  });

  it.each([
    undefined,
    DisconnectReason.UNKNOWN_REASON,
    DisconnectReason.SERVER_SHUTDOWN,
    DisconnectReason.SIGNAL_CLOSE,
    DisconnectReason.STATE_MISMATCH,
    DisconnectReason.CONNECTION_TIMEOUT,
    DisconnectReason.MEDIA_FAILURE,
  ])('returns after an accident (%s)', (reason) => {
    expect(comesBack(reason)).toBe(true);
  });
});

describe('disconnectProblem', () => {
  it('has words for every reason, known or not', () => {
    const reasons = [undefined, 99, ...Object.values(DisconnectReason).filter((value) => typeof value === 'number')];
    for (const reason of reasons) {
      const problem = disconnectProblem(reason);
      expect(problem.title).not.toBe('');
      expect(problem.text).not.toBe('');
    }
    expect(disconnectProblem(DisconnectReason.DUPLICATE_IDENTITY).title).toBe('You joined from somewhere else');
    expect(disconnectProblem(99 as DisconnectReason).title).toBe('The connection was lost');
  });
});
