/** Shows a Problem: what happened, why, what to do, and small the server's own words. */
import type { ReactNode } from 'react';
import type { Problem } from '../lib/problem';
import { Icon } from './icons';

interface ProblemCardProps {
  problem: Problem;
  /** `error` blocks what the user wanted; `notice` does not. */
  tone?: 'error' | 'notice';
  onClose?: () => void;
  children?: ReactNode;
}

export function ProblemCard({ problem, tone = 'error', onClose, children }: ProblemCardProps) {
  return (
    <section className={`problem problem-${tone}`} role={tone === 'error' ? 'alert' : 'status'}>
      <Icon name="warning" />
      <div className="problem-body">
        <h2>{problem.title}</h2>
        <p>{problem.text}</p>
        {problem.hints && problem.hints.length > 0 && (
          <ul>
            {problem.hints.map((hint) => (
              <li key={hint}>{hint}</li>
            ))}
          </ul>
        )}
        {problem.detail && <p className="problem-detail">{problem.detail}</p>}
        {children}
      </div>
      {onClose && (
        <button type="button" className="button-plain" aria-label="Close this message" onClick={onClose}>
          <Icon name="close" size={18} />
        </button>
      )}
    </section>
  );
}
