/** Joining with a token that somebody made: room, name and rights are inside it. */
import { type FormEvent, useEffect, useState } from 'react';
import { plainName } from '../lib/plainText';
import { looksLikeToken, peekClaims, type TokenClaims, tokenFlaw } from '../lib/token';

interface TokenFormProps {
  /** From the address, or empty. */
  initialToken: string;
  onJoin: (who: { roomName: string; displayName: string; token: string }) => void;
}

export function TokenForm({ initialToken, onJoin }: TokenFormProps) {
  const [text, setText] = useState(initialToken);
  useEffect(() => setText(initialToken), [initialToken]);
  const token = text.trim();
  const valid = looksLikeToken(token);
  const claims = valid ? peekClaims(token) : {};

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!valid) return;
    onJoin({ token, roomName: claims.room ?? '', displayName: claims.name ?? claims.identity ?? '' });
  };

  return (
    <form onSubmit={submit}>
      <label className="field">
        <span>Access token</span>
        <textarea
          name="token"
          value={text}
          rows={4}
          autoComplete="off"
          spellCheck={false}
          placeholder="Paste the token you were given"
          aria-describedby="token-hint"
          required
          onChange={(event) => setText(event.target.value)}
        />
      </label>
      <p id="token-hint" className="field-hint" role="status">
        <TokenHint empty={token === ''} valid={valid} claims={claims} />
      </p>
      <button type="submit" className="button button-primary button-wide" disabled={!valid}>
        Join
      </button>
    </form>
  );
}

function TokenHint({ empty, valid, claims }: { empty: boolean; valid: boolean; claims: TokenClaims }) {
  if (empty) return 'Whoever runs the server makes one, for example with “plenum token create”.';
  if (!valid) return 'This does not look like a token: it has three parts, joined by dots.';
  const flaw = tokenFlaw(claims, Date.now());
  if (flaw) return flaw;
  const who = plainName(claims.name ?? claims.identity ?? '');
  return (
    <>
      Room{' '}
      <strong>
        <bdi>{plainName(claims.room ?? '')}</bdi>
      </strong>
      {who && (
        <>
          {' '}
          as{' '}
          <strong>
            <bdi>{who}</bdi>
          </strong>
        </>
      )}
    </>
  );
}
