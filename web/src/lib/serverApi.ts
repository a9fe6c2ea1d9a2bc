/** The three plain HTTP requests of the page: its mode, a token in dev mode, and why a join was refused. */
import { ServerRefusal } from './connectProblem';
import { endpoint } from './serverUrl';

/** `GET page.json`. */
export interface PageMode {
  /** Whether `POST token` exists. */
  dev: boolean;
  version?: string;
}

/** `POST token`: who the server made of the name that was asked for. */
export interface IssuedToken {
  token: string;
  identity: string;
  room: string;
}

const DEADLINE_MS = 10_000;
const TEXT_LENGTH_MAX = 300;

/** The server's mode; a server without `page.json` counts as production. Throws when nothing answers. */
export async function fetchPageMode(href: string): Promise<PageMode> {
  const response = await fetch(endpoint(href, 'page.json'), { cache: 'no-store', signal: deadline() });
  if (!response.ok) return { dev: false };
  const body: unknown = await response.json().catch(() => ({}));
  const record = isRecord(body) ? body : {};
  return { dev: record.dev === true, ...(typeof record.version === 'string' && { version: record.version }) };
}

/** Asks the dev-mode endpoint for a token. Throws `ServerRefusal` with the server's text, or the network's error. */
export async function requestToken(href: string, room: string, name: string): Promise<IssuedToken> {
  const response = await fetch(endpoint(href, 'token'), {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ room, name }),
    signal: deadline(),
  });
  const text = await response.text();
  if (!response.ok) throw new ServerRefusal(errorText(text), response.status);
  const body = parseJson(text);
  if (!isRecord(body) || typeof body.token !== 'string' || typeof body.identity !== 'string') {
    throw new ServerRefusal('The answer was not a token.', 502);
  }
  return { token: body.token, identity: body.identity, room: typeof body.room === 'string' ? body.room : room };
}

/**
 * What the server thinks of a token, as status and text. Browsers hide both when a WebSocket upgrade fails.
 * Undefined when it does not answer.
 */
export async function validateToken(
  href: string,
  token: string,
): Promise<{ status: number; text: string } | undefined> {
  try {
    const url = `${endpoint(href, 'rtc/validate')}?access_token=${encodeURIComponent(token)}`;
    const response = await fetch(url, { cache: 'no-store', signal: deadline() });
    return { status: response.status, text: errorText(await response.text()) };
  } catch {
    return undefined;
  }
}

/** The readable part of an error body: `error` or `message` of a JSON object, else the text itself, clipped. */
export function errorText(body: string): string {
  const parsed = parseJson(body);
  const fromJson = isRecord(parsed) ? (parsed.error ?? parsed.message ?? parsed.msg) : undefined;
  const text = typeof fromJson === 'string' ? fromJson : body;
  if (/^\s*</.test(text)) return '';
  return text.trim().slice(0, TEXT_LENGTH_MAX);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function deadline(): AbortSignal {
  return AbortSignal.timeout(DEADLINE_MS);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
