/** Says that the connection is being restored, by livekit-client or by the session, and lets the user hurry. */
import { useConnectionState } from '@livekit/components-react';
import { ConnectionState } from 'livekit-client';
import { useEffect, useState } from 'react';
import type { MeetingPhase } from './meetingSession';

interface ConnectionBannerProps {
  phase: MeetingPhase;
  onRetry: () => void;
}

export function ConnectionBanner({ phase, onRetry }: ConnectionBannerProps) {
  const state = useConnectionState();
  if (phase.name === 'away') {
    return (
      <div className="banner" role="status">
        <span className="spinner" aria-hidden="true" />
        <p>
          <strong>{phase.problem.title}.</strong> {phase.problem.text} <Countdown until_ms={phase.retryAt_ms} />
        </p>
        {phase.retryAt_ms !== undefined && (
          <button type="button" className="button button-small" onClick={onRetry}>
            Try now
          </button>
        )}
      </div>
    );
  }
  if (state !== ConnectionState.Reconnecting && state !== ConnectionState.SignalReconnecting) return null;
  return (
    <div className="banner" role="status">
      <span className="spinner" aria-hidden="true" />
      <p>
        <strong>Reconnecting…</strong> The connection to the server was interrupted.
      </p>
    </div>
  );
}

/** Hidden from screen readers: a number that changes every second is noise there. */
function Countdown({ until_ms }: { until_ms: number | undefined }) {
  const [now_ms, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  if (until_ms === undefined) return <>Trying…</>;
  const left_s = Math.max(1, Math.ceil((until_ms - now_ms) / 1000));
  return <span aria-hidden="true">Next try in {left_s}&nbsp;s.</span>;
}
