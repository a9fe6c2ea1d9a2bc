/**
 * For whoever is the only one in the room: that this is so, and how others get in. Nothing while others are here,
 * and nothing while the connection is away, when nobody knows who is here.
 */
import { useConnectionState, useParticipants } from '@livekit/components-react';
import { ConnectionState } from 'livekit-client';
import { isLoopback } from '../lib/serverUrl';
import { CopyLink } from './CopyLink';

/** `href`: the link for others; undefined where everyone needs a token of their own. */
export function Alone({ href }: { href: string | undefined }) {
  const count = useParticipants({ updateOnlyOn: [] }).length;
  const state = useConnectionState();
  if (count !== 1 || state !== ConnectionState.Connected) return null;
  return (
    <section className="alone" aria-label="Invite others">
      <div className="alone-words">
        <h2>You are alone here</h2>
        {href === undefined ? (
          <p>Others join with a token of their own, made for this room.</p>
        ) : (
          <>
            <p>
              {isLoopback(href)
                ? 'On this computer, any tab with this link joins you:'
                : 'Send this link to the others:'}
            </p>
            <p className="alone-link">{href}</p>
          </>
        )}
      </div>
      {href !== undefined && <CopyLink href={href} label="Copy this link" className="button button-primary" />}
    </section>
  );
}
