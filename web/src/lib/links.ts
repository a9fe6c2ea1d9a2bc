/** Finds the addresses in a text. In time that grows with its length and no faster, whatever it is made of. Pure. */
import { LinkifyIt } from 'linkify-it';

export interface TextPart {
  text: string;
  /** An http or https address; undefined for plain words. */
  href?: string;
}

// Only what begins with http:// or https://: what merely looks like a name, such as `readme.md`, is none.
const finder = new LinkifyIt({ fuzzyLink: false, fuzzyEmail: false });
for (const schema of ['ftp:', 'mailto:', '//']) finder.add(schema, null);

/** `text` cut at its links, in order; put together again the parts are `text`. */
export function textParts(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let end = 0;
  for (const { index, lastIndex, url } of finder.match(text) ?? []) {
    if (index > end) parts.push({ text: text.slice(end, index) });
    parts.push({ text: text.slice(index, lastIndex), href: url });
    end = lastIndex;
  }
  if (end < text.length) parts.push({ text: text.slice(end) });
  return parts;
}
