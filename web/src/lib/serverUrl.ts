/** Where the server is, seen from the page: it is served by the server itself, maybe under a base path. */

/** The folder of the page, with a trailing slash: `https://host/base/`. Query and fragment are dropped. */
export function baseUrl(href: string): URL {
  const url = new URL('.', href);
  url.search = '';
  url.hash = '';
  return url;
}

/** The URL an SDK is given: `wss://host/base`, without a trailing slash. */
export function signalUrl(href: string): string {
  const url = baseUrl(href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href.replace(/\/+$/, '');
}

/** An address of the server's HTTP interface, e.g. `endpoint(href, 'token')`. */
export function endpoint(href: string, path: string): string {
  return new URL(path, baseUrl(href)).href;
}

/** A link that opens the join form with the room filled in; it never carries a token. */
export function inviteLink(href: string, roomName: string): string {
  const url = baseUrl(href);
  url.searchParams.set('room', roomName);
  return url.href;
}

/** Whether a link works on this machine only. */
export function isLoopback(href: string): boolean {
  const { hostname } = new URL(href);
  return hostname === '[::1]' || /(^|\.)localhost$/.test(hostname) || /^127(\.\d+){3}$/.test(hostname);
}
