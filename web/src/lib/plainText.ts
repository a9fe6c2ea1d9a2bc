/** What other people wrote, made fit to be shown: nothing that turns the page's own words round, nothing endless. Pure. */

/** Most that can be sent, and most that is shown of what somebody else sent. */
export const MESSAGE_LENGTH_MAX = 4000;

/** The server's own limit, where it has one. */
const NAME_LENGTH_MAX = 256;

/** Control characters, and those that turn the direction of writing. */
const UNFIT_IN_NAMES = /[\p{Cc}\p{Bidi_Control}]/gu;

/** The same, but for line breaks, tabs and the marks that a text in two scripts needs. */
const UNFIT_IN_MESSAGES = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** One line that stays within its own borders; empty when nothing is left. */
export function plainName(name: string): string {
  return shortened(name, NAME_LENGTH_MAX).replace(UNFIT_IN_NAMES, '').trim();
}

/** What a participant is called: the display name, or the identity where there is none to show. */
export function shownName({ name, identity }: { name?: string | undefined; identity: string }): string {
  return plainName(name ?? '') || plainName(identity) || '?';
}

export function plainMessage(text: string): string {
  return shortened(text, MESSAGE_LENGTH_MAX).replace(UNFIT_IN_MESSAGES, (found) => (/[\n\t]/.test(found) ? found : ''));
}

function shortened(text: string, length: number): string {
  if (text.length <= length) return text;
  const cut = text.slice(0, length);
  // Half of a pair would be shown as a question mark.
  return `${/[\ud800-\udbff]$/.test(cut) ? cut.slice(0, -1) : cut}…`;
}
