import { describe, expect, it } from 'vitest';
import { CHAT_LINES_MAX, type ChatLine, type ChatMessage, continues, toLine, withLine } from './chatLog';
import { MESSAGE_LENGTH_MAX } from './plainText';

const line = (id: string, text = id, more: Partial<ChatLine> = {}): ChatLine => ({
  id,
  text,
  senderIdentity: 'ana',
  senderName: 'Ana',
  own: false,
  sentAt_ms: 1000,
  ...more,
});

describe('toLine', () => {
  const message = (more: Partial<ChatMessage>): ChatMessage => ({
    id: 'm1',
    sender: { name: 'Ana', identity: 'ana' },
    own: false,
    sentAt_ms: 1000,
    text: 'hello',
    ...more,
  });

  it('shows a text and a name as far as they are fit to be shown', () => {
    expect(toLine(message({}), 5)).toEqual(line('["ana","m1"]', 'hello'));
    const endless = toLine(message({ text: 'Y'.repeat(300_000), sender: { name: '\u202e', identity: 'x\0' } }), 5);
    expect(endless.text).toBe(`${'Y'.repeat(MESSAGE_LENGTH_MAX)}…`);
    expect(endless.senderName).toBe('x');
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 2 ** 63, -(2 ** 63)])('takes %s for no time', (sentAt_ms) => {
    expect(toLine(message({ sentAt_ms }), 5).sentAt_ms).toBe(5);
  });

  it('keeps senders apart that use the same id', () => {
    const lines = withLine([], toLine(message({}), 5));
    const both = withLine(lines, toLine(message({ text: 'no', sender: { identity: 'eve' } }), 5));
    expect(both.map(({ text, senderName }) => [senderName, text])).toEqual([
      ['Ana', 'hello'],
      ['eve', 'no'],
    ]);
    const nested = toLine(message({ id: 'bo/x', sender: { identity: 'team' } }), 5);
    expect(withLine([nested], toLine(message({ id: 'x', sender: { identity: 'team/bo' } }), 5))).toHaveLength(2);
  });
});

describe('withLine', () => {
  it('takes over more of a line in place, with the first time, and leaves the others as they are', () => {
    const before = [line('a'), line('b')];
    const after = withLine(before, line('a', 'better', { sentAt_ms: 9000 }));
    expect(after.map(({ text }) => text)).toEqual(['better', 'b']);
    expect(after[0]?.sentAt_ms).toBe(1000);
    expect(after[1]).toBe(before[1]);
  });

  it('returns the same list when nothing is new', () => {
    const before = withLine([], line('a'));
    expect(withLine(before, line('a'))).toBe(before);
  });

  it('is bounded', () => {
    let lines: readonly ChatLine[] = [];
    for (let index = 0; index < CHAT_LINES_MAX + 20; index += 1) lines = withLine(lines, line(`m${index}`));
    expect(lines).toHaveLength(CHAT_LINES_MAX);
    expect(lines.at(-1)?.id).toBe(`m${CHAT_LINES_MAX + 19}`);
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
