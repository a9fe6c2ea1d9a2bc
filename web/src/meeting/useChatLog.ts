/** The room's chat (text streams on `lk.chat`, by way of components-react), kept over reconnects. */
import { type ReceivedChatMessage, useChat, useRoomContext } from '@livekit/components-react';
import { useEffect, useState } from 'react';
import { type ChatLine, mergeChat } from '../lib/chatLog';

export interface ChatLog {
  lines: readonly ChatLine[];
  isSending: boolean;
  /** Rejects when the text could not be handed to the server. */
  send: (text: string) => Promise<void>;
}

export function useChatLog(): ChatLog {
  const room = useRoomContext();
  const { chatMessages, send, isSending } = useChat();
  const [lines, setLines] = useState<readonly ChatLine[]>([]);
  const ownIdentity = room.localParticipant.identity;

  useEffect(() => {
    setLines((kept) =>
      mergeChat(
        kept,
        chatMessages.map((message) => toLine(message, ownIdentity)),
      ),
    );
  }, [chatMessages, ownIdentity]);

  return {
    lines,
    isSending,
    send: async (text) => {
      await send(text);
    },
  };
}

function toLine(message: ReceivedChatMessage, ownIdentity: string): ChatLine {
  const { from } = message;
  return {
    id: message.id,
    senderIdentity: from?.identity ?? '',
    senderName: from?.name || from?.identity || 'Someone who left',
    own: from !== undefined && (from.isLocal || from.identity === ownIdentity),
    sentAt_ms: message.timestamp,
    text: message.message,
  };
}
