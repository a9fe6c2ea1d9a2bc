/** Which of the three pages is on screen: the join form, the meeting, or the last page. */
import { useEffect, useSyncExternalStore } from 'react';
import { ConnectingPage } from './join/ConnectingPage';
import { EndPage } from './join/EndPage';
import { JoinPage } from './join/JoinPage';
import { useHashToken } from './join/useHashToken';
import { usePageMode } from './join/usePageMode';
import { Meeting } from './meeting/Meeting';
import type { MeetingSession } from './meeting/meetingSession';

interface AppProps {
  session: MeetingSession;
  pageHref: string;
}

export function App({ session, pageHref }: AppProps) {
  const snapshot = useSyncExternalStore(session.subscribe, session.snapshot);
  const mode = usePageMode(pageHref);
  const hashToken = useHashToken();
  const { phase, roomName } = snapshot;
  const inMeeting = phase.name === 'joined' || phase.name === 'away';

  useEffect(() => {
    document.title = inMeeting && roomName ? `${roomName} · Plenum` : 'Plenum';
  }, [inMeeting, roomName]);

  switch (phase.name) {
    case 'form':
      return (
        <JoinPage
          pageHref={pageHref}
          mode={mode}
          hashToken={hashToken}
          problem={phase.problem}
          onJoin={(request) => void session.join(request)}
        />
      );
    case 'connecting':
      return <ConnectingPage step={phase.step} roomName={roomName} onCancel={() => void session.leave()} />;
    case 'ended':
      return (
        <EndPage
          problem={phase.problem}
          roomName={roomName}
          onRejoin={() => void session.rejoin()}
          onForm={() => session.backToForm()}
        />
      );
    default:
      return <Meeting session={session} snapshot={snapshot} inviteHref={mode.state === 'dev' ? pageHref : undefined} />;
  }
}
