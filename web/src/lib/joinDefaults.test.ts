import { describe, expect, it } from 'vitest';
import { type JoinDefaults, nameFlaw, readDefaults, writeDefaults } from './joinDefaults';

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

  it('cuts nothing, and works without storage', () => {
    expect(readDefaults(`?room=${'x'.repeat(1000)}`, undefined).roomName).toHaveLength(1000);
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

describe('nameFlaw', () => {
  it('allows what the server allows', () => {
    expect(nameFlaw('x'.repeat(256))).toBeUndefined();
    expect(nameFlaw(` ${'x'.repeat(256)} `)).toBeUndefined();
  });

  it('counts bytes, and says how many', () => {
    expect(nameFlaw('x'.repeat(257))).toBe('Too long: 257 bytes, and 256 are allowed.');
    expect(nameFlaw('ü'.repeat(150))).toBe('Too long: 300 bytes, and 256 are allowed.');
  });
});
