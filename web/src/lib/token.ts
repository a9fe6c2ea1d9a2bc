/**
 * Access tokens as the page meets them: read from the address bar, peeked into for names and expiry.
 * The page never verifies a token and never stores one; that is the server's part.
 */

/** The claims the page shows or plans with. All optional: a token may be anything someone pasted. */
export interface TokenClaims {
  identity?: string;
  name?: string;
  room?: string;
  /** Whether it lets its holder into rooms; set for every token that could be read. */
  roomJoin?: boolean;
  /** Seconds since the epoch. */
  expiresAt_s?: number;
}

/** The token in `#token=…`, or undefined. A token in the query is ignored: queries end up in logs. */
export function tokenFromHash(hash: string): string | undefined {
  const value = new URLSearchParams(hash.replace(/^#/, '')).get('token')?.trim();
  return value || undefined;
}

/** The same address without the token, for `history.replaceState`. Other fragment parts stay. */
export function withoutToken(href: string): string {
  const url = new URL(href);
  const parts = new URLSearchParams(url.hash.replace(/^#/, ''));
  if (!parts.has('token')) return href;
  parts.delete('token');
  url.hash = parts.toString();
  return url.href.replace(/#$/, '');
}

/** Whether the text has the form of a JWT: three base64url parts. */
export function looksLikeToken(text: string): boolean {
  return /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text.trim());
}

/** The claims of a JWT, unverified. Anything unreadable gives an empty object. */
export function peekClaims(token: string): TokenClaims {
  try {
    const payload: unknown = JSON.parse(decodeBase64Url(token.split('.')[1] ?? ''));
    return isRecord(payload) ? pickClaims(payload) : {};
  } catch {
    return {};
  }
}

/** Why the server will not let anyone join with a token of these claims; undefined where nothing speaks against it. */
export function tokenFlaw(claims: TokenClaims, now_ms: number): string | undefined {
  if (claims.roomJoin === undefined) return 'What is inside cannot be read here; the server decides.';
  if (claims.expiresAt_s !== undefined && claims.expiresAt_s * 1000 < now_ms) {
    return 'This token has expired. Ask for a new one.';
  }
  if (!claims.roomJoin) return 'This token does not allow to join a room. Ask for one that does.';
  if (!claims.room) return 'This token names no room. Ask for one that was made for a room.';
  if (!claims.identity) return 'This token does not say who you are. Ask for one with an identity.';
  return undefined;
}

function pickClaims(payload: Record<string, unknown>): TokenClaims {
  const video = isRecord(payload.video) ? payload.video : {};
  return {
    ...(typeof payload.sub === 'string' && { identity: payload.sub }),
    ...(typeof payload.name === 'string' && payload.name && { name: payload.name }),
    roomJoin: video.roomJoin === true,
    ...(typeof video.room === 'string' && video.room && { room: video.room }),
    ...(typeof payload.exp === 'number' && { expiresAt_s: payload.exp }),
  };
}

function decodeBase64Url(text: string): string {
  const binary = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
  return new TextDecoder().decode(Uint8Array.from(binary, (char) => char.charCodeAt(0)));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
