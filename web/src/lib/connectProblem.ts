/** A join that failed: which step failed, what the server said, and what can be done about it. */
import { ConnectionErrorReason } from 'livekit-client';
import { messageOf, type Problem } from './problem';

/** The steps of joining, in order. The one that was under way tells most about a failure. */
export type JoinStep = 'token' | 'signal' | 'media';

/** What a failed join left behind. `serverText` is the answer of the server's validation endpoint, if it gave one. */
export interface JoinFailure {
  step: JoinStep;
  error: unknown;
  status?: number | undefined;
  serverText?: string | undefined;
}

/** The server answered a request of the page with an error status; the message is its text. */
export class ServerRefusal extends Error {
  override readonly name = 'ServerRefusal';

  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Ports that media needs beside the page's own: ICE over TCP and UDP (the server's defaults). */
const MEDIA_PORTS = '7882/udp and 7881/tcp';

/** What kind of failure it was. Decides the words, and whether trying again by itself makes sense. */
type Verdict = 'mediaBlocked' | 'unreachable' | 'busy' | 'refused' | 'turnedDown';

/** Whether trying again with the same token may succeed: the server was away or busy, not unwilling. */
export function isPassing(failure: JoinFailure): boolean {
  const verdict = judge(failure);
  return verdict === 'mediaBlocked' || verdict === 'unreachable' || verdict === 'busy';
}

/** Whether the token itself was turned down, so that a new one may help. */
export function isTokenRefused(failure: JoinFailure): boolean {
  return failure.step === 'signal' && statusOf(failure) === 401;
}

export function connectProblem(failure: JoinFailure): Problem {
  switch (judge(failure)) {
    case 'mediaBlocked':
      return mediaProblem(failure);
    case 'busy':
      return busyProblem(failure);
    case 'turnedDown':
      return turnedDownProblem(failure);
    case 'refused':
      return failure.step === 'token' ? tokenEndpointProblem(failure) : refusedProblem(failure);
    default:
      return unreachableProblem(failure);
  }
}

function judge(failure: JoinFailure): Verdict {
  if (failure.step === 'media') return 'mediaBlocked';
  const status = statusOf(failure) ?? 0;
  if (status >= 500 || status === 429) return 'busy';
  if (status >= 400) return 'refused';
  const reason = reasonOf(failure.error);
  if (reason === ConnectionErrorReason.LeaveRequest) return 'turnedDown';
  return reason === ConnectionErrorReason.NotAllowed ? 'refused' : 'unreachable';
}

function mediaProblem(failure: JoinFailure): Problem {
  return {
    title: 'Sound and picture cannot get through',
    text: 'The server answered, but no media connection came about. A firewall or the server’s address settings are in the way.',
    hints: [
      `On the server and its firewall, open ${MEDIA_PORTS} (“plenum ports” prints the ports in use).`,
      'Behind NAT, or in a container: the server must announce the address that browsers reach, see rtc.node_ip and rtc.use_external_ip.',
      'In a guarded network: try another one, such as a phone’s hotspot, or turn a VPN off.',
    ],
    ...detail(messageOf(failure.error)),
  };
}

function unreachableProblem(failure: JoinFailure): Problem {
  return {
    title: 'The server cannot be reached',
    text: 'It does not answer at this page’s address.',
    hints: [
      'Check your own network connection.',
      'Check that the server is running.',
      'Behind a reverse proxy: it must pass WebSocket upgrades.',
    ],
    ...detail(messageOf(failure.error)),
  };
}

function tokenEndpointProblem(failure: JoinFailure): Problem {
  const status = statusOf(failure);
  if (status === 404) {
    return {
      title: 'This server hands out no tokens',
      text: 'It no longer runs in development mode. Ask for a token and join with that.',
    };
  }
  return {
    title: 'The server gave no token for this room',
    text: said(failure) || `It answered with status ${status}.`,
    ...(status === 403 && { hints: ['Open the page at the address that the server printed when it started.'] }),
  };
}

function busyProblem(failure: JoinFailure): Problem {
  return {
    title: 'The server cannot take you in right now',
    text: 'It reported an error of its own. Trying again in a moment may help.',
    ...detail(said(failure)),
  };
}

function refusedProblem(failure: JoinFailure): Problem {
  const status = statusOf(failure);
  const text = said(failure);
  if (/expired/i.test(text)) {
    return {
      title: 'Your token has expired',
      text: 'Ask for a new one, then join again.',
      ...detail(text),
    };
  }
  if (/no room name/i.test(text)) {
    return { title: 'Your token names no room', text: 'Ask for one that was made for a room.', ...detail(text) };
  }
  if (/room name length/i.test(text)) {
    return { title: 'The name of the room is too long', text: 'Choose a shorter one.', ...detail(text) };
  }
  if (status === 404) {
    return { title: 'This room does not exist', text: 'And your token does not allow to open it.', ...detail(text) };
  }
  return {
    title: status === 401 ? 'The server refused your token' : 'The server refused the request',
    text: 'Ask whoever gave it to you for a new one.',
    ...detail(text),
  };
}

/** Validation passes and the join still fails: the server upgraded, then said no. Mostly the room is full. */
function turnedDownProblem(failure: JoinFailure): Problem {
  return {
    title: 'The room did not let you in',
    text: 'Your token is fine, but the room turned you down. Most likely it is full.',
    hints: ['Try again when somebody has left.'],
    ...detail(messageOf(failure.error)),
  };
}

/** The server's own words: its answer to the page first, then what livekit-client wrapped. */
function said(failure: JoinFailure): string {
  if (failure.serverText) return failure.serverText;
  return messageOf(failure.error).replace(/^could not establish signal connection:\s*/, '');
}

function statusOf(failure: JoinFailure): number | undefined {
  if (failure.status !== undefined) return failure.status;
  const { error } = failure;
  if (error instanceof ServerRefusal) return error.status;
  if (typeof error === 'object' && error !== null && 'status' in error && typeof error.status === 'number') {
    return error.status;
  }
  return undefined;
}

function reasonOf(error: unknown): ConnectionErrorReason | undefined {
  return typeof error === 'object' && error !== null && 'reason' in error
    ? (error.reason as ConnectionErrorReason)
    : undefined;
}

function detail(text: string): { detail?: string } {
  return text ? { detail: text } : {};
}
