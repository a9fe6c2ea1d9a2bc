/** The first page: which room, under which name, with which devices. */
import { useState } from 'react';
import { Mark } from '../components/icons';
import { ProblemCard } from '../components/ProblemCard';
import { insecurePageProblem } from '../lib/deviceProblem';
import { browserStorage, readDefaults, writeDefaults } from '../lib/joinDefaults';
import type { Problem } from '../lib/problem';
import type { JoinRequest } from '../meeting/meetingSession';
import { DevicePreview, type DeviceWishes } from './DevicePreview';
import { NameForm } from './NameForm';
import { TokenForm } from './TokenForm';
import type { PageModeState } from './usePageMode';
import { useCameraPreview, useMicrophonePreview } from './usePreviewTrack';

interface JoinPageProps {
  pageHref: string;
  mode: PageModeState;
  hashToken: string | undefined;
  problem: Problem | undefined;
  onJoin: (request: JoinRequest) => void;
}

const UNREACHABLE: Problem = {
  title: 'The server does not answer',
  text: 'This page is open, but its server cannot be reached right now. Reload the page when it is back.',
};

export function JoinPage({ pageHref, mode, hashToken, problem, onJoin }: JoinPageProps) {
  const [defaults] = useState(() => readDefaults(new URL(pageHref).search, browserStorage()));
  const [wishes, setWishes] = useState<DeviceWishes>({ microphone: defaults.microphone, camera: defaults.camera });
  const change = (part: Partial<DeviceWishes>) => setWishes((wishes) => ({ ...wishes, ...part }));
  const secure = window.isSecureContext;
  const camera = useCameraPreview(secure && wishes.camera);
  const microphone = useMicrophonePreview(secure && wishes.microphone);
  const withToken = mode.state === 'production' || hashToken !== undefined;

  const join = (who: Pick<JoinRequest, 'roomName' | 'displayName' | 'token'>) => {
    const { roomName, displayName } = who.token ? defaults : who;
    writeDefaults({ roomName, displayName, ...wishes }, browserStorage());
    onJoin({
      ...who,
      refused: { microphone: microphone.problem, camera: camera.problem },
      microphone: secure && wishes.microphone && !microphone.problem,
      camera: secure && wishes.camera && !camera.problem,
    });
  };

  return (
    <main className="page">
      <header className="brand">
        <Mark />
        <span>Plenum</span>
      </header>
      {problem && <ProblemCard problem={problem} />}
      {!secure && <ProblemCard tone="notice" problem={insecurePageProblem(window.location.host)} />}
      {mode.state === 'unreachable' && !problem && <ProblemCard problem={UNREACHABLE} />}
      <div className={secure ? 'card join' : 'card join join-without-preview'}>
        {secure && <DevicePreview wishes={wishes} camera={camera} microphone={microphone} onChange={change} />}
        <div className="join-form">
          <h1>Join a meeting</h1>
          {withToken ? (
            <TokenForm initialToken={hashToken ?? ''} onJoin={join} />
          ) : (
            <NameForm defaults={defaults} ready={mode.state === 'dev'} onJoin={join} />
          )}
        </div>
      </div>
      <footer className="page-footer">{mode.version && <>Plenum {mode.version}</>}</footer>
    </main>
  );
}
