/** The last page: why it ended, and the ways back in. */
import { Mark } from '../components/icons';
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
      <div className="card centred" role={problem ? 'alert' : 'status'}>
        <Mark size={44} />
        <h1>{problem?.title ?? 'You left the meeting'}</h1>
        {problem && <p>{problem.text}</p>}
        {problem?.hints?.map((hint) => (
          <p key={hint}>{hint}</p>
        ))}
        {problem?.detail && <p className="problem-detail">{problem.detail}</p>}
        {roomName && <p className="muted">Room: {roomName}</p>}
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
