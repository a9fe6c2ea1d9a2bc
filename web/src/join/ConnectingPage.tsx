/** The moment between Join and the meeting: which step is under way, and a way back. */
import { Mark } from '../components/icons';
import type { JoinStep } from '../lib/connectProblem';

const STEPS: Record<JoinStep, string> = {
  token: 'Asking the server for a token…',
  signal: 'Calling the server…',
  media: 'Opening the way for sound and picture…',
};

interface ConnectingPageProps {
  step: JoinStep;
  roomName: string;
  onCancel: () => void;
}

export function ConnectingPage({ step, roomName, onCancel }: ConnectingPageProps) {
  return (
    <main className="page page-narrow">
      <div className="card centred">
        <span className="pulse">
          <Mark size={44} />
        </span>
        <h1>Joining {roomName || 'the meeting'}</h1>
        <p className="muted" role="status">
          {STEPS[step]}
        </p>
        <button type="button" className="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </main>
  );
}
