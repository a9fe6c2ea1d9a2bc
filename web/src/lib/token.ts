/**
 * Access tokens as the page meets them: read from the address bar, peeked into for names and expiry.
 * The page never verifies a token and never stores one; that is the server's part.
 */

/** The claims the page shows or plans with. All optional: a token may be anything someone pasted. */
export interface TokenClaims {
  identity?: string;
  name?: string;
  room?: string;
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

function pickClaims(payload: Record<string, unknown>): TokenClaims {
  const video = isRecord(payload.video) ? payload.video : {};
  return {
    ...(typeof payload.sub === 'string' && { identity: payload.sub }),
    ...(typeof payload.name === 'string' && payload.name && { name: payload.name }),
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
