import { afterEach, describe, expect, it, vi } from 'vitest';
import { errorText, fetchPageMode, requestToken, validateToken } from './serverApi';

const HREF = 'https://example.org/base/?room=a#token=x';

function answerWith(body: string, status = 200) {
  const fetching = vi.fn<typeof fetch>(async () => new Response(body, { status }));
  vi.stubGlobal('fetch', fetching);
  return fetching;
}

afterEach(() => void vi.unstubAllGlobals());

describe('fetchPageMode', () => {
  it('reads mode and version', async () => {
    const fetching = answerWith('{"dev": true, "version": "0.1.0"}');
    expect(await fetchPageMode(HREF)).toEqual({ dev: true, version: '0.1.0' });
    expect(fetching.mock.calls[0]?.[0]).toBe('https://example.org/base/page.json');
  });

  it.each([
    ['not found', 404],
    ['<html>', 200],
    ['null', 200],
    ['{"dev": "yes"}', 200],
  ])('counts %j as production', async (body, status) => {
    answerWith(body, status);
    expect((await fetchPageMode(HREF)).dev).toBe(false);
  });
});

describe('requestToken', () => {
  it('posts room and name as JSON', async () => {
    const fetching = answerWith('{"token": "a.b.c", "identity": "ana-1", "room": "weekly"}');
    expect(await requestToken(HREF, 'weekly', 'Ana')).toEqual({ token: 'a.b.c', identity: 'ana-1', room: 'weekly' });
    const [url, init] = fetching.mock.calls[0] ?? [];
    expect(url).toBe('https://example.org/base/token');
    expect(init?.method).toBe('POST');
    expect(JSON.parse(String(init?.body))).toEqual({ room: 'weekly', name: 'Ana' });
  });

  it('passes the server’s refusal on', async () => {
    answerWith('{"error": "room name is too long"}', 400);
    await expect(requestToken(HREF, 'x', 'y')).rejects.toMatchObject({ message: 'room name is too long', status: 400 });
  });

  it.each(['', 'null', '{}', '{"token": 5, "identity": "a"}'])('does not take %j for a token', async (body) => {
    answerWith(body);
    await expect(requestToken(HREF, 'x', 'y')).rejects.toMatchObject({ status: 502 });
  });
});

describe('validateToken', () => {
  it('gives status and text, or nothing when no answer comes', async () => {
    const fetching = answerWith('no room name', 400);
    expect(await validateToken(HREF, 'a.b.c')).toEqual({ status: 400, text: 'no room name' });
    expect(fetching.mock.calls[0]?.[0]).toBe('https://example.org/base/rtc/validate?access_token=a.b.c');
    vi.stubGlobal('fetch', async () => {
      throw new TypeError('Failed to fetch');
    });
    expect(await validateToken(HREF, 'a.b.c')).toBeUndefined();
  });
});

describe('errorText', () => {
  it.each([
    ['{"error": "a"}', 'a'],
    ['{"message": "b"}', 'b'],
    ['{"code": "not_found", "msg": "c"}', 'c'],
    [' plain \n', 'plain'],
    ['<html><body>proxy</body></html>', ''],
    ['', ''],
  ])('%j -> %j', (body, expected) => {
    expect(errorText(body)).toBe(expected);
  });

  it('clips long texts', () => {
    expect(errorText('x'.repeat(5000))).toHaveLength(300);
  });
});
