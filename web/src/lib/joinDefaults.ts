/** What the join form is filled with: the address' query first, then what was used last time in this browser. */

export interface JoinDefaults {
  roomName: string;
  displayName: string;
  microphone: boolean;
  camera: boolean;
}

const STORAGE_KEY = 'plenum.join';
const FALLBACK: JoinDefaults = { roomName: '', displayName: '', microphone: true, camera: true };

/** The longest name the form takes, in characters; the server's own limit is 256. */
export const NAME_LENGTH_MAX = 128;

export function readDefaults(search: string, storage: Pick<Storage, 'getItem'> | undefined): JoinDefaults {
  const query = new URLSearchParams(search);
  const stored = readStored(storage);
  return {
    ...stored,
    roomName: clip(query.get('room')) || stored.roomName,
    displayName: clip(query.get('name')) || stored.displayName,
  };
}

/** Remembers the form's values. A browser that refuses storage (private window) simply forgets. */
export function writeDefaults(values: JoinDefaults, storage: Pick<Storage, 'setItem'> | undefined): void {
  try {
    storage?.setItem(STORAGE_KEY, JSON.stringify(values));
  } catch {
    // Nothing depends on it.
  }
}

/** `localStorage`, or undefined where merely touching it throws (blocked cookies). */
export function browserStorage(): Storage | undefined {
  try {
    return window.localStorage;
  } catch {
    return undefined;
  }
}

function readStored(storage: Pick<Storage, 'getItem'> | undefined): JoinDefaults {
  try {
    const stored: unknown = JSON.parse(storage?.getItem(STORAGE_KEY) ?? '{}');
    if (typeof stored !== 'object' || stored === null) return FALLBACK;
    const values = stored as Record<string, unknown>;
    return {
      roomName: clip(values.roomName),
      displayName: clip(values.displayName),
      microphone: values.microphone !== false,
      camera: values.camera !== false,
    };
  } catch {
    return FALLBACK;
  }
}

function clip(value: unknown): string {
  return typeof value === 'string' ? value.trim().slice(0, NAME_LENGTH_MAX) : '';
}
