/** Initials and a steady colour for people without a picture. */

/** Up to two initials of a name; `?` for an empty one. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/).filter(Boolean);
  const first = firstCharacter(words[0]);
  const last = words.length > 1 ? firstCharacter(words.at(-1)) : '';
  return (first + last).toUpperCase() || '?';
}

/** Neighbouring numbers times this land far apart on the colour circle. */
const GOLDEN_ANGLE = 137.508;

/** A hue in degrees, 0–359, that depends only on the text; `guest-1` and `guest-2` get different ones. */
export function hueOf(text: string): number {
  let hash = 0;
  for (const char of text) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 360_007;
  return Math.floor((hash * GOLDEN_ANGLE) % 360);
}

function firstCharacter(word: string | undefined): string {
  return [...(word ?? '')][0] ?? '';
}
