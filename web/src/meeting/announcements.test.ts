import { EventEmitter } from 'node:events';
import { ConnectionState, type Room, RoomEvent } from 'livekit-client';
import { beforeEach, describe, expect, it } from 'vitest';
import { announceTo } from './announcements';

/** The part of a Room that matters, with the order of livekit-client. */
class FakeRoom extends EventEmitter {
  state = ConnectionState.Connected;

  come(...identities: string[]): void {
    for (const identity of identities) this.emit(RoomEvent.ParticipantConnected, { identity });
  }

  go(...identities: string[]): void {
    for (const identity of identities) this.emit(RoomEvent.ParticipantDisconnected, { identity });
  }

  /** Everybody is taken away before the state says why. */
  lose(state: ConnectionState, ...present: string[]): void {
    this.go(...present);
    this.state = state;
  }

  regain(...present: string[]): void {
    this.state = ConnectionState.Connected;
    this.come(...present);
  }
}

let room: FakeRoom;
let said: string[];
let stop: () => void;

/** What was said since it was asked last. */
async function heard(): Promise<string[]> {
  await Promise.resolve();
  return said.splice(0);
}

beforeEach(() => {
  room = new FakeRoom();
  said = [];
  stop = announceTo(room as unknown as Room, (text) => said.push(text));
});

describe('announceTo', () => {
  it('says who comes and goes, until it is stopped', async () => {
    room.come('ana');
    room.go('ana');
    room.come('ana');
    expect((await heard()).sort()).toEqual(['ana joined', 'ana joined', 'ana left']);
    stop();
    room.go('ana');
    expect(await heard()).toEqual([]);
  });

  it('says who left during a resume, which is told at its end', async () => {
    room.state = ConnectionState.SignalReconnecting;
    room.go('ana');
    expect(await heard()).toEqual(['ana left']);
    room.regain();
    room.come('ana');
    expect(await heard()).toEqual(['ana joined']);
  });

  it('says of nobody that a connection made anew took and gave back', async () => {
    room.come('ana', 'bob');
    expect(await heard()).toHaveLength(2);
    room.state = ConnectionState.SignalReconnecting;
    room.lose(ConnectionState.Reconnecting, 'ana', 'bob');
    expect(await heard()).toEqual([]);
    room.regain('ana', 'eve');
    expect(await heard()).toEqual(['eve joined']);
    room.come('bob'); // comes back later than we do
    expect(await heard()).toEqual([]);
    room.go('ana');
    await heard();
    room.come('ana');
    expect(await heard()).toEqual(['ana joined']);
  });

  it('says nothing of the end', async () => {
    room.lose(ConnectionState.Disconnected, 'ana');
    expect(await heard()).toEqual([]);
  });
});
