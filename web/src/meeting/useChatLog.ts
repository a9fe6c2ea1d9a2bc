/** The room's chat, kept over reconnects. */
import { useRoomContext } from '@livekit/components-react';
import { useCallback, useEffect, useState } from 'react';
import { type ChatLine, type ChatMessage, toLine, withLine } from '../lib/chatLog';
import { listenToChat, sayInChat } from './chatChannel';

export interface ChatLog {
  lines: readonly ChatLine[];
  /** Rejects when the text could not be handed to the server. */
  send: (text: string) => Promise<void>;
}

export function useChatLog(): ChatLog {
  const room = useRoomContext();
  const [lines, setLines] = useState<readonly ChatLine[]>([]);
  const add = useCallback((message: ChatMessage) => {
    const line = toLine(message, Date.now());
    setLines((kept) => withLine(kept, line));
  }, []);
  useEffect(() => listenToChat(room, add), [room, add]);
  return { lines, send: async (text) => add(await sayInChat(room, text)) };
}
