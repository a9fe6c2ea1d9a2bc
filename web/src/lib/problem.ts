/** The one shape in which the page tells a person that something went wrong. Owns no texts itself. */

export interface Problem {
  /** What happened, in a few words. */
  title: string;
  /** Why, and what it means for the meeting. */
  text: string;
  /** What the reader can do, one step each. */
  hints?: readonly string[];
  /** The words of the server or browser, shown small for whoever looks after the server. */
  detail?: string;
}

/** The message of anything that was thrown; empty when it carries none. */
export function messageOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === 'string' ? error : '';
}
