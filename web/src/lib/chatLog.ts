/** The chat as it is shown: bounded, and kept across reconnects. Pure. */
import { plainMessage, shownName } from './plainText';

export interface ChatLine {
  id: string;
  senderIdentity: string;
  senderName: string;
  own: boolean;
  sentAt_ms: number;
  text: string;
}

/** What somebody wrote, as it came. */
export interface ChatMessage {
  /** The sender's own; two senders may have the same. */
  id: string;
  sender: { name?: string | undefined; identity: string };
  own: boolean;
  /** By the sender's clock, whatever that says. */
  sentAt_ms: number;
  text: string;
}

/** Older lines go when a room talks for hours. */
export const CHAT_LINES_MAX = 500;

/** `now_ms` stands in for a time that no calendar has. */
export function toLine(message: ChatMessage, now_ms: number): ChatLine {
  const { id, sender, own, sentAt_ms, text } = message;
  return {
    id: JSON.stringify([sender.identity, id]),
    senderIdentity: sender.identity,
    senderName: shownName(sender),
    own,
    sentAt_ms: Number.isNaN(new Date(sentAt_ms).getTime()) ? now_ms : sentAt_ms,
    text: plainMessage(text),
  };
}

/** Adds a line, or takes over more of one that is there. Returns `lines` itself when nothing changed. */
export function withLine(lines: readonly ChatLine[], line: ChatLine): readonly ChatLine[] {
  const known = lines.findLast(({ id }) => id === line.id);
  if (known === undefined) return [...lines, line].slice(-CHAT_LINES_MAX);
  if (known.text === line.text) return lines;
  return lines.map((kept) => (kept === known ? { ...line, sentAt_ms: known.sentAt_ms } : kept));
}

/** Whether a line continues the one before: same sender, within two minutes, so the name need not be repeated. */
export function continues(line: ChatLine, previous: ChatLine | undefined): boolean {
  return (
    previous !== undefined &&
    previous.senderIdentity === line.senderIdentity &&
    line.sentAt_ms - previous.sentAt_ms < 120_000
  );
}
