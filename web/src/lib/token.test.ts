import { describe, expect, it } from 'vitest';
import { looksLikeToken, peekClaims, tokenFlaw, tokenFromHash, withoutToken } from './token';

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const jwt = (claims: unknown) => `${encode({ alg: 'HS256' })}.${encode(claims)}.c2ln`;

describe('tokenFromHash', () => {
  it.each([
    ['#token=a.b.c', 'a.b.c'],
    ['#room=x&token=a.b.c', 'a.b.c'],
    ['#token=%20a.b.c%20', 'a.b.c'],
    ['#token=', undefined],
    ['#', undefined],
    ['', undefined],
    ['#other=1', undefined],
  ])('%j -> %j', (hash, expected) => {
    expect(tokenFromHash(hash)).toBe(expected);
  });
});

describe('withoutToken', () => {
  it('removes only the token', () => {
    expect(withoutToken('https://h/p/?room=a#token=a.b.c')).toBe('https://h/p/?room=a');
    expect(withoutToken('https://h/#x=1&token=a.b.c')).toBe('https://h/#x=1');
    expect(withoutToken('https://h/#section')).toBe('https://h/#section');
  });
});

describe('peekClaims', () => {
  it('reads identity, name, room and expiry', () => {
    const token = jwt({ sub: 'ana', name: 'Ana Žilić', exp: 1_800_000_000, video: { room: 'küche', roomJoin: true } });
    expect(peekClaims(token)).toEqual({
      identity: 'ana',
      name: 'Ana Žilić',
      room: 'küche',
      roomJoin: true,
      expiresAt_s: 1_800_000_000,
    });
  });

  it.each(['', 'x', 'a.b.c', '..', jwt(null), jwt('text')])('gives nothing for %j', (token) => {
    expect(peekClaims(token)).toEqual({});
  });
});

describe('tokenFlaw', () => {
  const whole = { sub: 'ana', exp: 1_800_000_000, video: { room: 'küche', roomJoin: true } };
  const flaw = (token: string) => tokenFlaw(peekClaims(token), 1_700_000_000_000);

  it('is silent about a token that lets one in', () => {
    expect(flaw(jwt(whole))).toBeUndefined();
  });

  it.each([
    ['a.b.c', /cannot be read/],
    [jwt({ ...whole, exp: 1_600_000_000 }), /has expired/],
    [jwt({ ...whole, video: 'all' }), /does not allow to join/],
    [jwt({ ...whole, video: { roomJoin: true } }), /names no room/],
    [jwt({ ...whole, sub: 5 }), /who you are/],
  ])('says of %s: %s', (token, expected) => {
    expect(flaw(token)).toMatch(expected);
  });
});

describe('looksLikeToken', () => {
  it('wants three parts', () => {
    expect(looksLikeToken(` ${jwt({})}\n`)).toBe(true);
    expect(looksLikeToken('only.two')).toBe(false);
    expect(looksLikeToken('has spaces.in.it')).toBe(false);
  });
});
