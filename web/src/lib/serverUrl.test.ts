import { describe, expect, it } from 'vitest';
import { endpoint, inviteLink, isLoopback, signalUrl } from './serverUrl';

describe('signalUrl', () => {
  it.each([
    ['http://127.0.0.1:7880/', 'ws://127.0.0.1:7880'],
    ['https://meet.example.org/', 'wss://meet.example.org'],
    ['https://example.org/plenum/', 'wss://example.org/plenum'],
    ['https://example.org/plenum/index.html?room=a#token=x', 'wss://example.org/plenum'],
    ['http://[::1]:7880/?room=a', 'ws://[::1]:7880'],
  ])('%s -> %s', (href, expected) => {
    expect(signalUrl(href)).toBe(expected);
  });
});

describe('endpoint', () => {
  it('stays under the base path', () => {
    expect(endpoint('https://example.org/plenum/?room=a', 'token')).toBe('https://example.org/plenum/token');
    expect(endpoint('http://localhost:7880/', 'page.json')).toBe('http://localhost:7880/page.json');
  });
});

describe('inviteLink', () => {
  it('carries the room, escaped, and drops name and token', () => {
    const link = inviteLink('https://example.org/plenum/?room=old&name=Ana#token=a.b.c', 'a & b');
    expect(link).toBe('https://example.org/plenum/?room=a+%26+b');
  });
});

describe('isLoopback', () => {
  it.each([
    ['http://127.0.0.1:7880/?room=x', true],
    ['http://localhost:7880/', true],
    ['http://[::1]:7880/', true],
    ['http://192.168.1.5:7880/', false],
    ['https://127.example.com/', false],
    ['https://notlocalhost/', false],
  ])('%s: %s', (href, expected) => {
    expect(isLoopback(href)).toBe(expected);
  });
});
