/** Why a meeting ended for this browser, in words, and whether the page should come back by itself. */
import { DisconnectReason } from 'livekit-client';
import type { Problem } from './problem';

/** Reasons that somebody decided: coming back by itself would undo the decision. */
const DECIDED = new Set<DisconnectReason>([
  DisconnectReason.DUPLICATE_IDENTITY,
  DisconnectReason.PARTICIPANT_REMOVED,
  DisconnectReason.ROOM_DELETED,
  DisconnectReason.ROOM_CLOSED,
  DisconnectReason.USER_REJECTED,
  DisconnectReason.USER_UNAVAILABLE,
]);

/**
 * Whether to return without being asked. CLIENT_INITIATED is included on purpose: when the user leaves, the
 * session never asks; the browser itself causes it when it freezes a background tab.
 */
export function comesBack(reason: DisconnectReason | undefined): boolean {
  return reason === undefined || !DECIDED.has(reason);
}

const TEXTS: Partial<Record<DisconnectReason, Problem>> = {
  [DisconnectReason.DUPLICATE_IDENTITY]: {
    title: 'You joined from somewhere else',
    text: 'Someone with the same identity entered the room, most likely you in another tab or on another device. Only one can be inside.',
  },
  [DisconnectReason.PARTICIPANT_REMOVED]: {
    title: 'You were removed from the room',
    text: 'Whoever runs this meeting ended your part in it.',
  },
  [DisconnectReason.ROOM_DELETED]: {
    title: 'The meeting was ended',
    text: 'Whoever runs it closed the room for everybody.',
  },
  [DisconnectReason.ROOM_CLOSED]: {
    title: 'The room was closed',
    text: 'It had been empty for long enough.',
  },
  [DisconnectReason.USER_REJECTED]: {
    title: 'The server turned you away',
    text: 'It ended your part in the meeting.',
  },
  [DisconnectReason.SERVER_SHUTDOWN]: {
    title: 'The server was stopped or restarts',
    text: 'If it comes back, so do you, by yourself.',
  },
  [DisconnectReason.CONNECTION_TIMEOUT]: {
    title: 'The connection timed out',
    text: 'Nothing was heard from this browser for too long.',
  },
};

/** The words for a reason; anything unknown gets the general sentence. */
export function disconnectProblem(reason: DisconnectReason | undefined): Problem {
  const known = reason === undefined ? undefined : TEXTS[reason];
  return known ?? { title: 'The connection was lost', text: 'The server or the network in between stopped answering.' };
}
