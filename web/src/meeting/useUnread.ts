/** How many chat lines of others came in while the chat was closed. */
import { useEffect, useState } from 'react';
import type { ChatLine } from '../lib/chatLog';

export function useUnread(lines: readonly ChatLine[], open: boolean): number {
  const [lastSeenId, setLastSeenId] = useState<string>();
  const newest = lines.at(-1)?.id;
  useEffect(() => {
    if (open) setLastSeenId(newest);
  }, [open, newest]);
  if (open) return 0;
  const seen = lines.findIndex((line) => line.id === lastSeenId);
  return lines.slice(seen + 1).filter((line) => !line.own).length;
}
