/** What does not work just now and does not end the meeting: one card each, one for both where they share a cause. */
import { ProblemCard } from '../components/ProblemCard';
import { jointProblem } from '../lib/deviceProblem';
import type { Problem } from '../lib/problem';
import type { Notice } from './meetingSession';

interface NoticesProps {
  notices: readonly Notice[];
  onClose: (ids: readonly number[]) => void;
}

export function Notices({ notices, onClose }: NoticesProps) {
  return cardsOf(notices).map(({ ids, problem }) => (
    <ProblemCard key={ids.join()} tone="notice" problem={problem} onClose={() => onClose(ids)} />
  ));
}

function cardsOf(notices: readonly Notice[]): { ids: number[]; problem: Problem }[] {
  const microphone = notices.find((notice) => notice.capture === 'microphone');
  const camera = notices.find((notice) => notice.capture === 'camera');
  const joint = microphone && camera && jointProblem(microphone.problem, camera.problem);
  if (!joint) return notices.map(({ id, problem }) => ({ ids: [id], problem }));
  const others = notices.filter((notice) => notice !== microphone && notice !== camera);
  return [
    { ids: [microphone.id, camera.id], problem: joint },
    ...others.map(({ id, problem }) => ({ ids: [id], problem })),
  ];
}
