/** How long to wait before the page's own attempts to come back, after livekit-client has given up. */

const FIRST_MS = 1_000;
const LONGEST_MS = 15_000;

/**
 * Delay before attempt `attempt` (0 = the first), in ms: doubling from 1 s to 15 s, spread by ±25 % so that
 * a restarted server does not meet everybody at once. `random` is in [0, 1).
 */
export function retryDelay_ms(attempt: number, random: number = Math.random()): number {
  const base = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(base * (0.75 + random / 2));
}
