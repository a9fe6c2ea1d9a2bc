/** Stands in for a picture: initials on a colour of one's own. */
import { hueOf, initialsOf } from '../lib/avatar';

export function Avatar({ name, seed = name, size }: { name: string; seed?: string; size?: 'small' | 'large' }) {
  return (
    <span className={`avatar avatar-${size ?? 'large'}`} style={{ '--hue': hueOf(seed) }} aria-hidden="true">
      {initialsOf(name)}
    </span>
  );
}
