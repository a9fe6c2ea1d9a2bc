import { EventEmitter } from 'node:events';
import { type Room, RoomEvent } from 'livekit-client';
import { describe, expect, it, vi } from 'vitest';
import type { ChatMessage } from '../lib/chatLog';
import { MESSAGE_LENGTH_MAX } from '../lib/plainText';
import { listenToChat, sayInChat } from './chatChannel';

type Handler = (reader: unknown, sender: { identity: string }) => Promise<void>;

/** The part of a Room that the chat uses. */
class FakeRoom extends EventEmitter {
  readonly handlers = new Map<string, Handler>();
  readonly localParticipant = {
    identity: 'me',
    name: 'Me',
    sendText: vi.fn(async () => ({ id: 's1' })),
    publishData: vi.fn(async (_data: Uint8Array, _options: object) => undefined),
  };

  registerTextStreamHandler(topic: string, handler: Handler): void {
    this.handlers.set(topic, handler);
  }

  unregisterTextStreamHandler(topic: string): void {
    this.handlers.delete(topic);
  }

  getParticipantByIdentity(identity: string): { name: string } | undefined {
    return { me: { name: 'Me' }, ana: { name: 'Ana' } }[identity];
  }

  async stream(chunks: Iterable<string>, identity = 'ana'): Promise<void> {
    async function* read() {
      yield* chunks;
    }
    const reader = Object.assign(read(), { info: { id: 'm1', timestamp: 5 } });
    await this.handlers.get('lk.chat')?.(reader, { identity });
  }

  packet(content: unknown, topic = 'lk-chat-topic'): void {
    const payload = new TextEncoder().encode(typeof content === 'string' ? content : JSON.stringify(content));
    this.emit(RoomEvent.DataReceived, payload, { identity: 'ana' }, 0, topic);
  }
}

function listening() {
  const room = new FakeRoom();
  const heard: ChatMessage[] = [];
  const stop = listenToChat(room as unknown as Room, (message) => heard.push(message));
  return { room, heard, stop };
}

describe('listenToChat', () => {
  it('hears a text as it comes', async () => {
    const { room, heard } = listening();
    await room.stream(['Hel', 'lo']);
    const message = { id: 'm1', sender: { name: 'Ana', identity: 'ana' }, own: false, sentAt_ms: 5 };
    expect(heard).toEqual([
      { ...message, text: 'Hel' },
      { ...message, text: 'Hello' },
    ]);
  });

  it('reads an endless text to its end and keeps the beginning', async () => {
    const { room, heard } = listening();
    let read = 0;
    function* endless() {
      for (; read < 10_000; read += 1) yield 'Y'.repeat(1500);
    }
    await room.stream(endless());
    expect(read).toBe(10_000);
    expect(heard.map(({ text }) => text.length)).toEqual([1500, 3000, MESSAGE_LENGTH_MAX + 1]);
  });

  it('keeps what came of a text whose sender went', async () => {
    const { room, heard } = listening();
    function* broken() {
      yield 'Hel';
      throw new Error('abnormal end');
    }
    await room.stream(broken(), 'gone');
    expect(heard).toMatchObject([{ sender: { identity: 'gone' }, text: 'Hel' }]);
  });

  it('hears older clients, and nobody twice', () => {
    const { room, heard } = listening();
    room.packet({ id: 'o1', timestamp: 7, message: 'old' });
    room.packet({ id: 'o2', timestamp: 7, message: 'new', ignoreLegacy: true });
    room.packet({ id: 'o3', timestamp: 7, message: 'elsewhere' }, 'other');
    expect(heard).toEqual([
      { id: 'o1', sender: { name: 'Ana', identity: 'ana' }, own: false, sentAt_ms: 7, text: 'old' },
    ]);
  });

  it.each(['', 'null', '[]', '{"id":1,"message":"x"}', '{"id":"x","message":{}}'])('drops the packet %j', (content) => {
    const { room, heard } = listening();
    room.packet(content);
    expect(heard).toEqual([]);
  });

  it('stops', async () => {
    const { room, heard, stop } = listening();
    stop();
    await room.stream(['Hello']);
    room.packet({ id: 'o1', timestamp: 7, message: 'old' });
    expect(heard).toEqual([]);
  });
});

describe('sayInChat', () => {
  it('says it once to each kind of client', async () => {
    const room = new FakeRoom();
    const said = await sayInChat(room as unknown as Room, 'Hello');
    expect(said).toMatchObject({ id: 's1', sender: { name: 'Me', identity: 'me' }, own: true, text: 'Hello' });
    expect(room.localParticipant.sendText).toHaveBeenCalledWith('Hello', { topic: 'lk.chat' });
    const [data, options] = room.localParticipant.publishData.mock.calls[0] ?? [];
    expect(JSON.parse(new TextDecoder().decode(data))).toMatchObject({
      id: 's1',
      message: 'Hello',
      ignoreLegacy: true,
    });
    expect(options).toEqual({ reliable: true, topic: 'lk-chat-topic' });
  });

  it('rejects what was not sent', async () => {
    const room = new FakeRoom();
    room.localParticipant.sendText.mockRejectedValue(new Error('interrupted'));
    await expect(sayInChat(room as unknown as Room, 'Hello')).rejects.toThrow('interrupted');
    expect(room.localParticipant.publishData).not.toHaveBeenCalled();
  });
});
