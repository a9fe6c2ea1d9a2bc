/** What the join form is filled with: the address' query first, then what was used last time in this browser. */

export interface JoinDefaults {
  roomName: string;
  displayName: string;
  microphone: boolean;
  camera: boolean;
}

const STORAGE_KEY = 'plenum.join';
const FALLBACK: JoinDefaults = { roomName: '', displayName: '', microphone: true, camera: true };

/** The longest name of a room or person, in bytes of UTF-8: the server's default limit. */
const NAME_BYTES_MAX = 256;

/** Why a name cannot be used. Names are never cut: a shortened room is another room than the one others are in. */
export function nameFlaw(name: string): string | undefined {
  const bytes = new TextEncoder().encode(name.trim()).length;
  return bytes > NAME_BYTES_MAX ? `Too long: ${bytes} bytes, and ${NAME_BYTES_MAX} are allowed.` : undefined;
}

export function readDefaults(search: string, storage: Pick<Storage, 'getItem'> | undefined): JoinDefaults {
  const query = new URLSearchParams(search);
  const stored = readStored(storage);
  return {
    ...stored,
    roomName: trimmed(query.get('room')) || stored.roomName,
    displayName: trimmed(query.get('name')) || stored.displayName,
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
      roomName: trimmed(values.roomName),
      displayName: trimmed(values.displayName),
      microphone: values.microphone !== false,
      camera: values.camera !== false,
    };
  } catch {
    return FALLBACK;
  }
}

function trimmed(value: unknown): string {
  return typeof value === 'string' ? value.trim() : '';
}
