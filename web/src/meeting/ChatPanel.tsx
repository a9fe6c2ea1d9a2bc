/** The chat: what was said, and a line to say something. */
import { useLocalParticipantPermissions } from '@livekit/components-react';
import { type FormEvent, type KeyboardEvent, memo, useEffect, useRef, useState } from 'react';
import { Icon } from '../components/icons';
import { MessageText } from '../components/MessageText';
import { type ChatLine, continues } from '../lib/chatLog';
import { MESSAGE_LENGTH_MAX } from '../lib/plainText';
import { Panel } from './Panel';
import type { ChatLog } from './useChatLog';

export function ChatPanel({ chat, onClose }: { chat: ChatLog; onClose: () => void }) {
  const list = useRef<HTMLOListElement>(null);
  const newest = chat.lines.at(-1)?.id;
  useEffect(() => {
    if (newest && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [newest]);

  return (
    <Panel title="Chat" onClose={onClose}>
      <ol className="chat-lines" ref={list} aria-live="polite">
        {chat.lines.map((line, index) => (
          <Line key={line.id} line={line} continued={continues(line, chat.lines[index - 1])} />
        ))}
      </ol>
      {chat.lines.length === 0 && (
        <p className="panel-empty">Nothing was said yet. Everyone in the room reads along.</p>
      )}
      <Composer chat={chat} />
    </Panel>
  );
}

/** Formatted once, not again with each line that follows. */
const Line = memo(({ line, continued }: { line: ChatLine; continued: boolean }) => {
  return (
    <li className={`chat-line ${line.own ? 'chat-line-own' : ''} ${continued ? 'chat-line-continued' : ''}`}>
      {!continued && (
        <p className="chat-sender">
          <strong>{line.own ? 'You' : <bdi>{line.senderName}</bdi>}</strong>
          <time dateTime={new Date(line.sentAt_ms).toISOString()}>{clockTime(line.sentAt_ms)}</time>
        </p>
      )}
      <p className="chat-text" dir="auto">
        <MessageText text={line.text} />
      </p>
    </li>
  );
});

function Composer({ chat }: { chat: ChatLog }) {
  const [text, setText] = useState('');
  const [failed, setFailed] = useState(false);
  const allowed = useLocalParticipantPermissions()?.canPublishData !== false;

  const send = async () => {
    const message = text.trim();
    if (!message) return;
    setText('');
    setFailed(false);
    try {
      await chat.send(message);
    } catch {
      setFailed(true);
      setText((typed) => typed || message);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void send();
  };
  const sendOnEnter = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    void send();
  };

  return (
    <form className="composer" onSubmit={submit}>
      {failed && (
        <p className="composer-failed" role="alert">
          Not sent: the connection is interrupted. Try again in a moment.
        </p>
      )}
      <textarea
        rows={1}
        value={text}
        maxLength={MESSAGE_LENGTH_MAX}
        disabled={!allowed}
        placeholder={allowed ? 'Write a message' : 'Your token does not allow to write'}
        aria-label="Message"
        onChange={(event) => setText(event.target.value)}
        onKeyDown={sendOnEnter}
      />
      <button type="submit" className="control" aria-label="Send" disabled={!allowed || text.trim() === ''}>
        <Icon name="send" size={20} />
      </button>
    </form>
  );
}

function clockTime(at_ms: number): string {
  return new Date(at_ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}
