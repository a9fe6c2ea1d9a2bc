import { EventEmitter } from 'node:events';
import { ConnectionError, DisconnectReason, type Room, RoomEvent, Track } from 'livekit-client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServerRefusal } from '../lib/connectProblem';
import { type DeviceChoice, type JoinRequest, MeetingSession } from './meetingSession';

/** The part of a Room that the session uses. `connect` follows the script that the test gives. */
class FakeRoom extends EventEmitter {
  readonly engine = new EventEmitter();
  readonly tokens: string[] = [];
  readonly localParticipant = {
    permissions: { canPublish: true },
    setMicrophoneEnabled: vi.fn(async () => undefined),
    setCameraEnabled: vi.fn(async () => undefined),
    setScreenShareEnabled: vi.fn(async () => undefined),
  };
  readonly disconnect = vi.fn(async () => undefined);
  readonly switchActiveDevice = vi.fn(async () => true);

  constructor(
    readonly script: (room: FakeRoom) => Promise<void>,
    readonly devices: DeviceChoice,
  ) {
    super();
  }

  async connect(_url: string, token: string): Promise<void> {
    this.tokens.push(token);
    await this.script(this);
  }
}

const succeed = async (room: FakeRoom) => {
  room.emit(RoomEvent.SignalConnected);
};
const fail = (error: unknown) => async () => {
  throw error;
};
const REQUEST: JoinRequest = { roomName: 'weekly', displayName: 'Ana', microphone: true, camera: false };

function setUp(...scripts: ((room: FakeRoom) => Promise<void>)[]) {
  const rooms: FakeRoom[] = [];
  const requestToken = vi.fn(async () => `token-${requestToken.mock.calls.length}`);
  const validateToken = vi.fn<() => Promise<{ status: number; text: string } | undefined>>(async () => undefined);
  const session = new MeetingSession({
    signalUrl: 'ws://server',
    createRoom: (devices) => {
      // The first room is only a placeholder: nothing connects with it.
      const room = new FakeRoom(scripts[rooms.length - 1] ?? succeed, devices);
      rooms.push(room);
      return room as unknown as Room;
    },
    requestToken,
    validateToken,
    now_ms: () => 0,
  });
  const current = () => rooms.at(-1) as FakeRoom;
  return { session, rooms, current, requestToken, validateToken, phase: () => session.snapshot().phase };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe('joining', () => {
  it('passes through its steps and opens the wished devices', async () => {
    const { session, current, phase } = setUp();
    const steps: string[] = [];
    session.subscribe(() => {
      const now = phase();
      steps.push(now.name === 'connecting' ? now.step : now.name);
    });
    await session.join(REQUEST);
    expect([...new Set(steps)]).toEqual(['token', 'signal', 'media', 'joined']);
    expect(current().tokens).toEqual(['token-1']);
    expect(current().localParticipant.setMicrophoneEnabled).toHaveBeenCalledWith(true);
    expect(current().localParticipant.setCameraEnabled).not.toHaveBeenCalled();
  });

  it('uses a token that the user brought', async () => {
    const { session, current, requestToken } = setUp();
    await session.join({ ...REQUEST, token: 'own' });
    expect(current().tokens).toEqual(['own']);
    expect(requestToken).not.toHaveBeenCalled();
  });

  it('goes back to the form with what the server said', async () => {
    const { session, phase, validateToken } = setUp(fail(ConnectionError.internal('websocket error')));
    validateToken.mockResolvedValue({ status: 401, text: 'invalid API key: abc' });
    await session.join(REQUEST);
    expect(phase()).toMatchObject({ name: 'form', problem: { detail: 'invalid API key: abc' } });
  });

  it('tells a blocked media path from an unreachable server', async () => {
    const { session, phase } = setUp(async (room) => {
      room.emit(RoomEvent.SignalConnected);
      throw ConnectionError.internal('could not establish pc connection');
    });
    await session.join(REQUEST);
    expect(phase()).toMatchObject({ name: 'form', problem: { title: 'Sound and picture cannot get through' } });
  });

  it('reports a refused token request', async () => {
    const { session, phase, requestToken } = setUp();
    requestToken.mockRejectedValue(new ServerRefusal('room name is too long', 400));
    await session.join(REQUEST);
    expect(phase()).toMatchObject({ name: 'form', problem: { text: 'room name is too long' } });
  });

  it('can be cancelled, and a late success changes nothing', async () => {
    let finish = () => {};
    const { session, rooms, phase } = setUp(() => new Promise((resolve) => (finish = resolve)));
    const joining = session.join(REQUEST);
    await vi.advanceTimersByTimeAsync(0);
    await session.leave();
    expect(phase().name).toBe('form');
    finish();
    await joining;
    expect(phase().name).toBe('form');
    expect(rooms[1]?.disconnect).toHaveBeenCalled();
    expect(rooms[1]?.localParticipant.setMicrophoneEnabled).not.toHaveBeenCalled();
  });

  it('opens no device without the right to publish', async () => {
    const { session, current } = setUp(async (room) => {
      room.localParticipant.permissions.canPublish = false;
    });
    await session.join({ ...REQUEST, camera: true });
    expect(current().localParticipant.setMicrophoneEnabled).not.toHaveBeenCalled();
    expect(current().localParticipant.setCameraEnabled).not.toHaveBeenCalled();
  });
});

describe('after the connection is lost', () => {
  it('comes back by itself with the same token and the same devices', async () => {
    const { session, rooms, current, phase, requestToken } = setUp();
    await session.join(REQUEST);
    await session.setCamera(true);
    await session.setMicrophone(false);
    await session.chooseDevice('audioinput', 'headset');
    current().emit(RoomEvent.Disconnected, DisconnectReason.SERVER_SHUTDOWN);
    expect(phase()).toMatchObject({ name: 'away', problem: { title: 'The server was stopped or restarts' } });
    await vi.runAllTimersAsync();
    expect(phase().name).toBe('joined');
    expect(rooms).toHaveLength(3);
    expect(current().tokens).toEqual(['token-1']);
    expect(current().devices).toEqual({ audioinput: 'headset' });
    expect(current().localParticipant.setCameraEnabled).toHaveBeenCalledWith(true);
    expect(current().localParticipant.setMicrophoneEnabled).not.toHaveBeenCalled();
    expect(requestToken).toHaveBeenCalledTimes(1);
  });

  it('keeps trying, with longer pauses, until the server is back', async () => {
    const gone = fail(ConnectionError.serverUnreachable('Failed to fetch'));
    const { session, rooms, current, phase } = setUp(succeed, gone, gone, gone, succeed);
    await session.join(REQUEST);
    current().emit(RoomEvent.Disconnected);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(phase().name).toBe('away');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(phase().name).toBe('joined');
    expect(rooms).toHaveLength(6);
  });

  it('tries at once when told to', async () => {
    const { session, current, phase } = setUp();
    await session.join(REQUEST);
    current().emit(RoomEvent.Disconnected);
    session.retryNow();
    await vi.advanceTimersByTimeAsync(0);
    expect(phase().name).toBe('joined');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stops trying when the user leaves', async () => {
    const { session, rooms, current, phase } = setUp();
    await session.join(REQUEST);
    current().emit(RoomEvent.Disconnected);
    await session.leave();
    const count = rooms.length;
    await vi.runAllTimersAsync();
    expect(phase()).toEqual({ name: 'ended', problem: undefined });
    expect(rooms).toHaveLength(count);
  });

  it('asks for a new token when the restarted server does not know the old one', async () => {
    const refused = fail(ConnectionError.notAllowed('invalid API key: k', 401));
    const { session, current, phase } = setUp(succeed, refused, succeed);
    await session.join(REQUEST);
    current().emit(RoomEvent.Disconnected);
    await vi.runAllTimersAsync();
    expect(phase().name).toBe('joined');
    expect(current().tokens).toEqual(['token-2']);
  });

  it('gives up when the user’s own token is refused', async () => {
    const refused = fail(ConnectionError.notAllowed('token is expired', 401));
    const { session, current, phase } = setUp(succeed, refused);
    await session.join({ ...REQUEST, token: 'own' });
    current().emit(RoomEvent.Disconnected);
    await vi.runAllTimersAsync();
    expect(phase()).toMatchObject({ name: 'ended', problem: { title: 'Your token has expired' } });
  });

  it('comes back with the newest token the server sent', async () => {
    const { session, current } = setUp();
    await session.join({ ...REQUEST, token: 'own' });
    current().engine.emit('tokenRefreshed', 'renewed');
    current().emit(RoomEvent.Disconnected);
    await vi.runAllTimersAsync();
    expect(current().tokens).toEqual(['renewed']);
  });

  it('does not undo a decision', async () => {
    const { session, rooms, current, phase } = setUp();
    await session.join(REQUEST);
    current().emit(RoomEvent.Disconnected, DisconnectReason.PARTICIPANT_REMOVED);
    await vi.runAllTimersAsync();
    expect(phase()).toMatchObject({ name: 'ended', problem: { title: 'You were removed from the room' } });
    expect(rooms).toHaveLength(2);
    await session.rejoin();
    expect(phase().name).toBe('joined');
  });

  it('does not unmute what somebody else muted', async () => {
    const { session, current } = setUp();
    await session.join(REQUEST);
    current().emit(RoomEvent.TrackMuted, { source: Track.Source.Microphone }, { isLocal: true });
    current().emit(RoomEvent.Disconnected);
    await vi.runAllTimersAsync();
    expect(current().localParticipant.setMicrophoneEnabled).not.toHaveBeenCalled();
  });
});

describe('devices', () => {
  const denied = Object.assign(new Error('denied'), { name: 'NotAllowedError' });

  it('reports a refused camera and stays in the meeting', async () => {
    const { session, current, phase } = setUp();
    await session.join(REQUEST);
    current().localParticipant.setCameraEnabled.mockRejectedValueOnce(denied);
    await session.setCamera(true);
    const { notices } = session.snapshot();
    expect(notices.map((notice) => notice.capture)).toEqual(['camera']);
    expect(phase().name).toBe('joined');
    await session.setCamera(true);
    expect(session.snapshot().notices).toEqual([]);
  });

  it('can close a notice', async () => {
    const { session, current } = setUp();
    await session.join(REQUEST);
    current().localParticipant.setCameraEnabled.mockRejectedValueOnce(denied);
    await session.setCamera(true);
    session.dismissNotices([session.snapshot().notices[0]?.id ?? 0]);
    expect(session.snapshot().notices).toEqual([]);
  });

  it('says in the meeting, once, why a device stayed off', async () => {
    const { session, current, phase } = setUp();
    const camera = { title: 'refused', text: 'by the browser' };
    await session.join({ ...REQUEST, camera: false, refused: { camera } });
    expect(session.snapshot().notices).toMatchObject([{ capture: 'camera', problem: camera }]);
    session.dismissNotices(session.snapshot().notices.map((notice) => notice.id));
    current().emit(RoomEvent.Disconnected);
    await vi.runAllTimersAsync();
    expect(phase().name).toBe('joined');
    expect(session.snapshot().notices).toEqual([]);
  });

  it('keeps the device before when another one fails', async () => {
    const { session, current } = setUp();
    await session.join(REQUEST);
    current().switchActiveDevice.mockRejectedValueOnce(Object.assign(new Error('busy'), { name: 'NotReadableError' }));
    await session.chooseDevice('videoinput', 'other');
    expect(session.snapshot().notices[0]?.problem.title).toBe('The camera is busy');
    current().emit(RoomEvent.Disconnected);
    await vi.runAllTimersAsync();
    expect(current().devices).toEqual({});
  });
});
