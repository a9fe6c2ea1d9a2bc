/** The last page: why it ended, and the ways back in. */
import { Mark } from '../components/icons';
import { ProblemCard } from '../components/ProblemCard';
import type { Problem } from '../lib/problem';

interface EndPageProps {
  /** Undefined when the user left. */
  problem: Problem | undefined;
  roomName: string;
  onRejoin: () => void;
  onForm: () => void;
}

export function EndPage({ problem, roomName, onRejoin, onForm }: EndPageProps) {
  return (
    <main className="page page-narrow">
      <div className="card centred">
        <Mark size={44} />
        <h1>{problem ? 'The meeting is over for you' : 'You left the meeting'}</h1>
        {roomName && <p className="muted">Room: {roomName}</p>}
        {problem && <ProblemCard problem={problem} />}
        <div className="button-row">
          <button type="button" className="button button-primary" onClick={onRejoin}>
            Rejoin
          </button>
          <button type="button" className="button" onClick={onForm}>
            Another room
          </button>
        </div>
      </div>
    </main>
  );
}
