/** The chat as it is shown: kept across reconnects, when livekit's own list starts anew. Pure. */

export interface ChatLine {
  id: string;
  senderIdentity: string;
  senderName: string;
  own: boolean;
  sentAt_ms: number;
  text: string;
}

/** Older lines go when a room talks for hours. */
export const CHAT_LINES_MAX = 500;

/** Adds what is new in `incoming` and takes over edits of known lines. Returns `lines` itself when nothing changed. */
export function mergeChat(lines: readonly ChatLine[], incoming: readonly ChatLine[]): readonly ChatLine[] {
  const known = new Map(lines.map((line) => [line.id, line]));
  // Lines that were dropped here are still in livekit's list: they are not news.
  const changed = incoming.slice(-CHAT_LINES_MAX).filter((line) => known.get(line.id)?.text !== line.text);
  if (changed.length === 0) return lines;
  for (const line of changed)
    known.set(line.id, { ...line, sentAt_ms: known.get(line.id)?.sentAt_ms ?? line.sentAt_ms });
  return [...known.values()].slice(-CHAT_LINES_MAX);
}

/** Whether a line continues the one before: same sender, within two minutes, so the name need not be repeated. */
export function continues(line: ChatLine, previous: ChatLine | undefined): boolean {
  return (
    previous !== undefined &&
    previous.senderIdentity === line.senderIdentity &&
    line.sentAt_ms - previous.sentAt_ms < 120_000
  );
}
