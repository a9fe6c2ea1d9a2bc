import { ConnectionError, DisconnectReason } from 'livekit-client';
import { describe, expect, it } from 'vitest';
import { connectProblem, isPassing, isTokenRefused, type JoinFailure, ServerRefusal } from './connectProblem';

const signal = (error: unknown, more: Partial<JoinFailure> = {}): JoinFailure => ({ step: 'signal', error, ...more });

describe('connectProblem', () => {
  it('names the ports when media is blocked', () => {
    const problem = connectProblem({
      step: 'media',
      error: ConnectionError.internal('could not establish pc connection'),
    });
    expect(problem.title).toBe('Sound and picture cannot get through');
    expect(problem.hints?.join(' ')).toContain('7882/udp');
    expect(problem.hints?.join(' ')).toContain('7881/tcp');
    expect(problem.detail).toBe('could not establish pc connection');
  });

  it('shows the server’s own text for a refused token', () => {
    const error = ConnectionError.notAllowed('could not establish signal connection: invalid API key: abc', 401);
    const problem = connectProblem(signal(error));
    expect(problem.title).toBe('The server refused your token');
    expect(problem.detail).toBe('invalid API key: abc');
  });

  it('prefers what the validation endpoint said', () => {
    const failure = signal(ConnectionError.internal('websocket error'), {
      status: 400,
      serverText: 'identity cannot be empty',
    });
    expect(connectProblem(failure)).toMatchObject({
      title: 'The server refused the request',
      detail: 'identity cannot be empty',
    });
  });

  it('recognises an expired token', () => {
    const failure = signal(new Error('x'), { status: 401, serverText: 'invalid token: token is expired' });
    expect(connectProblem(failure).title).toBe('Your token has expired');
  });

  it.each([
    ['no room name', 'Your token names no room'],
    ['room name length exceeds limits: max length 256', 'The name of the room is too long'],
  ])('has words for “%s”', (serverText, title) => {
    expect(connectProblem(signal(new Error('x'), { status: 400, serverText })).title).toBe(title);
  });

  it('tells a room that turns a good token away from a server that is gone', () => {
    const full = signal(ConnectionError.leaveRequest('leave', DisconnectReason.JOIN_FAILURE));
    expect(connectProblem(full).title).toBe('The room did not let you in');
    expect(isPassing(full)).toBe(false);
    const gone = signal(ConnectionError.serverUnreachable('Failed to fetch'));
    expect(connectProblem(gone).title).toBe('The server cannot be reached');
    expect(isPassing(gone)).toBe(true);
  });

  it('says that a token endpoint is off, or why it refused', () => {
    const off = connectProblem({ step: 'token', error: new ServerRefusal('404: Not Found', 404) });
    expect(off.title).toBe('This server hands out no tokens');
    const refused = connectProblem({ step: 'token', error: new ServerRefusal('room name is too long', 400) });
    expect(refused.text).toBe('room name is too long');
    const gone = connectProblem({ step: 'token', error: new TypeError('Failed to fetch') });
    expect(gone.title).toBe('The server cannot be reached');
  });
});

describe('isPassing', () => {
  it.each([
    [401, false],
    [403, false],
    [404, false],
    [429, true],
    [500, true],
    [503, true],
  ])('status %d -> %s', (status, expected) => {
    expect(isPassing(signal(new Error('x'), { status }))).toBe(expected);
  });
});

describe('isTokenRefused', () => {
  it('is about the token only', () => {
    expect(isTokenRefused(signal(ConnectionError.notAllowed('no', 401)))).toBe(true);
    expect(isTokenRefused(signal(ConnectionError.notAllowed('no', 403)))).toBe(false);
    expect(isTokenRefused({ step: 'token', error: new ServerRefusal('no', 401) })).toBe(false);
  });
});
