/** The meeting: stage, panels, controls and messages round one Room. */
import { RoomAudioRenderer, RoomContext } from '@livekit/components-react';
import { useState } from 'react';
import { inviteLink } from '../lib/serverUrl';
import { Alone } from './Alone';
import { Announcer } from './Announcer';
import { AudioUnlock } from './AudioUnlock';
import { ChatPanel } from './ChatPanel';
import { ConnectionBanner } from './ConnectionBanner';
import { ControlBar } from './ControlBar';
import { DeviceDialog } from './DeviceDialog';
import type { MeetingSession, MeetingSnapshot } from './meetingSession';
import { Notices } from './Notices';
import { PeoplePanel } from './PeoplePanel';
import { Stage } from './Stage';
import { TopBar } from './TopBar';
import { useChatLog } from './useChatLog';
import { useUnread } from './useUnread';

export type PanelName = 'chat' | 'people';

interface MeetingProps {
  session: MeetingSession;
  snapshot: MeetingSnapshot;
  /** The page's address to invite others with; undefined where everyone needs a token of their own. */
  inviteHref: string | undefined;
}

export function Meeting(props: MeetingProps) {
  return (
    <RoomContext.Provider value={props.snapshot.room}>
      <MeetingFrame {...props} />
    </RoomContext.Provider>
  );
}

function MeetingFrame({ session, snapshot, inviteHref }: MeetingProps) {
  const [panel, setPanel] = useState<PanelName>();
  const [choosingDevices, setChoosingDevices] = useState(false);
  const chat = useChatLog();
  const unread = useUnread(chat.lines, panel === 'chat');
  const link = inviteHref === undefined ? undefined : inviteLink(inviteHref, snapshot.roomName);
  const togglePanel = (name: PanelName) => setPanel((open) => (open === name ? undefined : name));

  return (
    <div className={`meeting ${panel ? 'meeting-with-panel' : ''}`}>
      <TopBar
        roomName={snapshot.roomName}
        inviteLink={link}
        peopleOpen={panel === 'people'}
        onPeople={() => togglePanel('people')}
      />
      <main className="stage-area">
        {snapshot.phase.name === 'joined' && (
          <>
            <Stage />
            <Alone href={link} />
          </>
        )}
        <div className="messages">
          <ConnectionBanner phase={snapshot.phase} onRetry={session.retryNow} />
          <AudioUnlock />
          <Notices notices={snapshot.notices} onClose={(ids) => session.dismissNotices(ids)} />
        </div>
      </main>
      {panel === 'chat' && <ChatPanel chat={chat} onClose={() => setPanel(undefined)} />}
      {panel === 'people' && <PeoplePanel onClose={() => setPanel(undefined)} />}
      <ControlBar
        session={session}
        connected={snapshot.phase.name === 'joined'}
        chatOpen={panel === 'chat'}
        unread={unread}
        onChat={() => togglePanel('chat')}
        onDevices={() => setChoosingDevices(true)}
      />
      {choosingDevices && <DeviceDialog session={session} onClose={() => setChoosingDevices(false)} />}
      <RoomAudioRenderer />
      <Announcer />
    </div>
  );
}
