/**
 * The chat on the wire: text streams on `lk.chat`, beside them the packets of clients from before text streams.
 * components-react has the same, but keeps every message and all of its text for as long as the room lasts.
 */
import { type Participant, type Room, RoomEvent, type TextStreamReader } from 'livekit-client';
import type { ChatMessage } from '../lib/chatLog';
import { MESSAGE_LENGTH_MAX } from '../lib/plainText';

const TOPIC = 'lk.chat';
const OLD_TOPIC = 'lk-chat-topic';

/** Calls back with each message, again with more of its text while that still comes. Returns how to stop. */
export function listenToChat(room: Room, onMessage: (message: ChatMessage) => void): () => void {
  const onStream = async (reader: TextStreamReader, { identity }: { identity: string }) => {
    const { id, timestamp } = reader.info;
    let text = '';
    try {
      for await (const chunk of reader) {
        // Read on when nothing more is shown: what nobody reads piles up.
        if (text.length > MESSAGE_LENGTH_MAX) continue;
        text = (text + chunk).slice(0, MESSAGE_LENGTH_MAX + 1);
        onMessage({ id, ...senderOf(room, identity), sentAt_ms: timestamp, text });
      }
    } catch {
      // The sender went in the middle: what came is there.
    }
  };
  const onData = (payload: Uint8Array, participant?: Participant, _kind?: unknown, topic?: string) => {
    const packet = topic === OLD_TOPIC && participant ? oldPacket(payload) : undefined;
    if (packet && participant) onMessage({ ...packet, ...senderOf(room, participant.identity) });
  };
  room.registerTextStreamHandler(TOPIC, onStream);
  room.on(RoomEvent.DataReceived, onData);
  return () => {
    room.unregisterTextStreamHandler(TOPIC);
    room.off(RoomEvent.DataReceived, onData);
  };
}

/** Says something to everybody. Rejects when it could not be handed to the server. */
export async function sayInChat(room: Room, text: string): Promise<ChatMessage> {
  const { localParticipant } = room;
  const { id } = await localParticipant.sendText(text, { topic: TOPIC });
  const sentAt_ms = Date.now();
  const packet = JSON.stringify({ id, timestamp: sentAt_ms, message: text, ignoreLegacy: true });
  // Who needs this one is rare, and the message itself is on its way.
  localParticipant
    .publishData(new TextEncoder().encode(packet), { reliable: true, topic: OLD_TOPIC })
    .catch(() => undefined);
  return { id, ...senderOf(room, localParticipant.identity), sentAt_ms, text };
}

function senderOf(room: Room, identity: string): Pick<ChatMessage, 'sender' | 'own'> {
  const own = identity === room.localParticipant.identity;
  return { sender: { name: room.getParticipantByIdentity(identity)?.name, identity }, own };
}

/** A packet of an older client; undefined for what is none, or came as a text stream too. */
function oldPacket(payload: Uint8Array): Pick<ChatMessage, 'id' | 'sentAt_ms' | 'text'> | undefined {
  try {
    const { id, timestamp, message, ignoreLegacy } = JSON.parse(new TextDecoder().decode(payload));
    if (ignoreLegacy === true || typeof id !== 'string' || typeof message !== 'string') return undefined;
    return { id, sentAt_ms: Number(timestamp), text: message };
  } catch {
    return undefined;
  }
}
