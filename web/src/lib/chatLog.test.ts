import { describe, expect, it } from 'vitest';
import { CHAT_LINES_MAX, type ChatLine, continues, mergeChat } from './chatLog';

const line = (id: string, text = id, more: Partial<ChatLine> = {}): ChatLine => ({
  id,
  text,
  senderIdentity: 'ana',
  senderName: 'Ana',
  own: false,
  sentAt_ms: 1000,
  ...more,
});

describe('mergeChat', () => {
  it('keeps earlier lines when the incoming list starts anew', () => {
    const before = mergeChat([], [line('a'), line('b')]);
    expect(mergeChat(before, [line('c')]).map(({ id }) => id)).toEqual(['a', 'b', 'c']);
  });

  it('takes over an edit in place, with the first time', () => {
    const before = mergeChat([], [line('a'), line('b')]);
    const after = mergeChat(before, [line('a', 'better', { sentAt_ms: 9000 })]);
    expect(after.map(({ text }) => text)).toEqual(['better', 'b']);
    expect(after[0]?.sentAt_ms).toBe(1000);
  });

  it('returns the same list when nothing is new', () => {
    const before = mergeChat([], [line('a')]);
    expect(mergeChat(before, [line('a')])).toBe(before);
  });

  it('is bounded', () => {
    const many = Array.from({ length: CHAT_LINES_MAX + 20 }, (_, index) => line(`m${index}`));
    const kept = mergeChat([], many);
    expect(kept).toHaveLength(CHAT_LINES_MAX);
    expect(kept.at(-1)?.id).toBe(`m${CHAT_LINES_MAX + 19}`);
    expect(mergeChat(kept, many)).toEqual(kept);
  });
});

describe('continues', () => {
  it('joins lines of one sender within two minutes', () => {
    expect(continues(line('b', 'b', { sentAt_ms: 60_000 }), line('a'))).toBe(true);
    expect(continues(line('b', 'b', { sentAt_ms: 200_000 }), line('a'))).toBe(false);
    expect(continues(line('b', 'b', { senderIdentity: 'bo' }), line('a'))).toBe(false);
    expect(continues(line('a'), undefined)).toBe(false);
  });
});
