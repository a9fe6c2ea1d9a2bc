/**
 * One person's meeting, from the first click on Join to leaving: gets a token, connects a livekit-client Room,
 * turns the wished devices on, and comes back by itself when the server or the network was away.
 *
 * It owns the Room and the user's wishes; it never touches the DOM and renders nothing. React reads `snapshot`
 * through `subscribe`. livekit-client reconnects on its own; this class takes over when that gives up.
 */
import {
  type DisconnectReason,
  type Participant,
  type Room,
  RoomEvent,
  Track,
  type TrackPublication,
} from 'livekit-client';
import { retryDelay_ms } from '../lib/backoff';
import { connectProblem, isPassing, isTokenRefused, type JoinFailure, type JoinStep } from '../lib/connectProblem';
import { type Capture, type DeviceProblem, deviceProblem } from '../lib/deviceProblem';
import { comesBack, disconnectProblem } from '../lib/disconnectReason';
import type { Problem } from '../lib/problem';

/** What the join form hands over. `token` is set where the user brought one; else one is requested. */
export interface JoinRequest {
  roomName: string;
  displayName: string;
  token?: string;
  microphone: boolean;
  camera: boolean;
  /** Why a device that was wanted stays off; said once in the meeting, too. */
  refused?: Partial<Record<'microphone' | 'camera', DeviceProblem | undefined>>;
}

/** Where the meeting stands. `stage` phases (joined, away) keep the meeting on screen. */
export type MeetingPhase =
  | { name: 'form'; problem?: Problem }
  | { name: 'connecting'; step: JoinStep }
  | { name: 'joined' }
  | { name: 'away'; problem: Problem; retryAt_ms: number | undefined }
  | { name: 'ended'; problem: Problem | undefined };

/** A problem that does not end the meeting, shown until closed. */
export interface Notice {
  id: number;
  capture: Capture;
  problem: DeviceProblem;
}

export interface MeetingSnapshot {
  phase: MeetingPhase;
  room: Room;
  roomName: string;
  notices: readonly Notice[];
}

/** Chosen device ids by kind; absent = the system's default. */
export type DeviceChoice = Partial<Record<MediaDeviceKind, string>>;

/** What the session needs from outside, so that tests can stand in for browser and server. */
export interface MeetingWorld {
  signalUrl: string;
  createRoom(devices: DeviceChoice): Room;
  requestToken(roomName: string, displayName: string): Promise<string>;
  validateToken(token: string): Promise<{ status: number; text: string } | undefined>;
  now_ms(): number;
}

const CAPTURE_OF: Record<MediaDeviceKind, Capture> = {
  audioinput: 'microphone',
  videoinput: 'camera',
  audiooutput: 'speaker',
};

export class MeetingSession {
  private state: MeetingSnapshot;
  private request: JoinRequest | undefined;
  private token: string | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private attempts = 0;
  private devices: DeviceChoice = {};
  private lastNoticeId = 0;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly world: MeetingWorld) {
    this.state = { phase: { name: 'form' }, room: this.createRoom(), roomName: '', notices: [] };
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly snapshot = (): MeetingSnapshot => this.state;

  /** Joins; never throws. A failure brings the form back with a problem. */
  async join(request: JoinRequest): Promise<void> {
    this.request = request;
    this.token = request.token;
    this.attempts = 0;
    this.update({ phase: { name: 'connecting', step: 'token' }, roomName: request.roomName, notices: [] });
    const failure = await this.connect((step) => this.setPhase({ name: 'connecting', step }));
    if (failure) this.setPhase({ name: 'form', problem: connectProblem(failure) });
  }

  /** Joins again as before, after the meeting ended. */
  async rejoin(): Promise<void> {
    if (this.request) await this.join(this.request);
  }

  /** Leaves for good. In the middle of connecting it gives up and goes back to the form. */
  async leave(): Promise<void> {
    this.cancelRetry();
    const { room, phase } = this.state;
    // Replacing the room makes everything still under way for the old one stale.
    this.update({
      room: this.createRoom(),
      notices: [],
      phase: phase.name === 'connecting' ? { name: 'form' } : { name: 'ended', problem: undefined },
    });
    await room.disconnect();
  }

  /** From the last page back to the form. */
  backToForm(): void {
    this.setPhase({ name: 'form' });
  }

  /** While away: tries now instead of waiting. */
  readonly retryNow = (): void => {
    if (this.state.phase.name === 'away' && this.state.phase.retryAt_ms !== undefined) void this.retry();
  };

  async setMicrophone(enabled: boolean): Promise<void> {
    this.wish({ microphone: enabled });
    await this.capture('microphone', () => this.state.room.localParticipant.setMicrophoneEnabled(enabled));
  }

  async setCamera(enabled: boolean): Promise<void> {
    this.wish({ camera: enabled });
    await this.capture('camera', () => this.state.room.localParticipant.setCameraEnabled(enabled));
  }

  async setScreenShare(enabled: boolean): Promise<void> {
    await this.capture('screen', () =>
      this.state.room.localParticipant.setScreenShareEnabled(enabled, { audio: true, selfBrowserSurface: 'include' }),
    );
  }

  /** Uses another device of a kind; when that fails, the one before stays in use. */
  async chooseDevice(kind: MediaDeviceKind, deviceId: string): Promise<void> {
    await this.capture(CAPTURE_OF[kind], async () => {
      await this.state.room.switchActiveDevice(kind, deviceId);
      this.devices = { ...this.devices, [kind]: deviceId };
    });
  }

  dismissNotices(ids: readonly number[]): void {
    this.update({ notices: this.state.notices.filter((notice) => !ids.includes(notice.id)) });
  }

  /** One attempt from token to open devices. Gives the failure, or undefined: joined, or no longer wanted. */
  private async connect(onStep: (step: JoinStep) => void): Promise<JoinFailure | undefined> {
    const request = this.request;
    if (!request) return undefined;
    const room = this.freshRoom();
    let step: JoinStep = 'token';
    const enter = (next: JoinStep) => {
      step = next;
      if (this.isCurrent(room)) onStep(next);
    };
    try {
      enter('token');
      const token = this.token ?? (await this.world.requestToken(request.roomName, request.displayName));
      if (!this.isCurrent(room)) return undefined;
      this.token = token;
      enter('signal');
      room.once(RoomEvent.SignalConnected, () => {
        enter('media');
        this.followToken(room);
      });
      await room.connect(this.world.signalUrl, token);
    } catch (error) {
      return this.isCurrent(room) ? this.explain(step, error) : undefined;
    }
    if (!this.isCurrent(room)) {
      await room.disconnect();
      return undefined;
    }
    this.attempts = 0;
    this.setPhase({ name: 'joined' });
    this.openDevices(request);
    return undefined;
  }

  /** Adds to a failed join what the server says about the token; the WebSocket hides it. */
  private async explain(step: JoinStep, error: unknown): Promise<JoinFailure> {
    if (step !== 'signal' || !this.token) return { step, error };
    const verdict = await this.world.validateToken(this.token);
    if (!verdict || verdict.status < 400) return { step, error };
    return { step, error, status: verdict.status, serverText: verdict.text };
  }

  private openDevices(request: JoinRequest): void {
    const { localParticipant } = this.state.room;
    if (localParticipant.permissions?.canPublish === false) return;
    if (request.microphone) void this.setMicrophone(true);
    if (request.camera) void this.setCamera(true);
    const { microphone, camera } = request.refused ?? {};
    if (microphone) this.addNotice('microphone', microphone);
    if (camera) this.addNotice('camera', camera);
    if (this.request) this.request = { ...this.request, refused: {} };
  }

  private handleDisconnected(room: Room, reason: DisconnectReason | undefined): void {
    if (!this.isCurrent(room) || this.state.phase.name !== 'joined') return;
    if (comesBack(reason)) {
      this.scheduleRetry(disconnectProblem(reason));
    } else {
      this.setPhase({ name: 'ended', problem: disconnectProblem(reason) });
    }
  }

  private scheduleRetry(problem: Problem): void {
    const delay_ms = retryDelay_ms(this.attempts);
    this.attempts += 1;
    this.setPhase({ name: 'away', problem, retryAt_ms: this.world.now_ms() + delay_ms });
    this.retryTimer = setTimeout(() => void this.retry(), delay_ms);
  }

  private async retry(): Promise<void> {
    this.cancelRetry();
    const { phase } = this.state;
    if (phase.name !== 'away') return;
    this.setPhase({ ...phase, retryAt_ms: undefined });
    const failure = await this.connect(() => undefined);
    if (!failure) return;
    // A restarted dev server may have a new key: ask it for a new token instead of giving up.
    const mayRenew = isTokenRefused(failure) && this.request?.token === undefined;
    if (mayRenew) this.token = undefined;
    if (mayRenew || isPassing(failure)) this.scheduleRetry(phase.problem);
    else this.setPhase({ name: 'ended', problem: connectProblem(failure) });
  }

  private cancelRetry(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
  }

  private async capture(capture: Capture, start: () => Promise<unknown>): Promise<void> {
    this.update({ notices: this.state.notices.filter((notice) => notice.capture !== capture) });
    const { room } = this.state;
    try {
      await start();
    } catch (error) {
      // A connection lost in the middle fails too; then the way back opens the device again.
      if (!this.isCurrent(room) || this.state.phase.name !== 'joined') return;
      const problem = deviceProblem(capture, error);
      if (problem) this.addNotice(capture, problem);
    }
  }

  private addNotice(capture: Capture, problem: DeviceProblem): void {
    this.lastNoticeId += 1;
    this.update({ notices: [...this.state.notices, { id: this.lastNoticeId, capture, problem }] });
  }

  /** Remembers what is on, so that a rejoin restores it. Someone else's mute counts as a wish, too. */
  private wish(wishes: Partial<Pick<JoinRequest, 'microphone' | 'camera'>>): void {
    if (this.request) this.request = { ...this.request, ...wishes };
  }

  private handleMuted(publication: TrackPublication, participant: Participant): void {
    if (!participant.isLocal || this.state.phase.name !== 'joined') return;
    if (publication.source === Track.Source.Microphone) this.wish({ microphone: false });
    if (publication.source === Track.Source.Camera) this.wish({ camera: false });
  }

  /** A Room that has ended is not used again: its chat and its listeners end with it. */
  private freshRoom(): Room {
    const room = this.createRoom();
    this.update({ room });
    return room;
  }

  private createRoom(): Room {
    const room = this.world.createRoom(this.devices);
    room.on(RoomEvent.Disconnected, (reason) => this.handleDisconnected(room, reason));
    room.on(RoomEvent.TrackMuted, (publication, participant) => this.handleMuted(publication, participant));
    return room;
  }

  /**
   * The server renews tokens while one is inside; the newest is needed to come back after the first has expired.
   * livekit-client only tells it on its engine.
   */
  private followToken(room: Room): void {
    room.engine.on('tokenRefreshed', (token) => {
      if (this.isCurrent(room)) this.token = token;
    });
  }

  /** Whether this room is still the one the user wants to be in. */
  private isCurrent(room: Room): boolean {
    return this.state.room === room;
  }

  private setPhase(phase: MeetingPhase): void {
    this.update({ phase });
  }

  private update(change: Partial<MeetingSnapshot>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}
