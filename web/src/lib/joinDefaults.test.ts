import { describe, expect, it } from 'vitest';
import { type JoinDefaults, NAME_LENGTH_MAX, readDefaults, writeDefaults } from './joinDefaults';

function memoryStorage(text?: string) {
  const items = new Map<string, string>();
  if (text !== undefined) items.set('plenum.join', text);
  return {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
  };
}

describe('readDefaults', () => {
  const values: JoinDefaults = { roomName: 'weekly', displayName: 'Ana', microphone: false, camera: true };

  it('gives back what was written', () => {
    const storage = memoryStorage();
    writeDefaults(values, storage);
    expect(readDefaults('', storage)).toEqual(values);
  });

  it('lets the address win', () => {
    const storage = memoryStorage(JSON.stringify(values));
    expect(readDefaults('?room=other&name=Bo', storage)).toEqual({ ...values, roomName: 'other', displayName: 'Bo' });
    expect(readDefaults('?room=%20', storage).roomName).toBe('weekly');
  });

  it.each(['not json', 'null', '[]', '"x"', '{"roomName": 5}'])('survives stored %s', (text) => {
    expect(readDefaults('', memoryStorage(text))).toEqual({
      roomName: '',
      displayName: '',
      microphone: true,
      camera: true,
    });
  });

  it('clips what is too long, and works without storage', () => {
    expect(readDefaults(`?room=${'x'.repeat(1000)}`, undefined).roomName).toHaveLength(NAME_LENGTH_MAX);
  });

  it('does not fail where the browser refuses to store', () => {
    const full = {
      setItem: () => {
        throw new DOMException('full', 'QuotaExceededError');
      },
    };
    expect(() => writeDefaults(values, full)).not.toThrow();
  });
});
