/** Whether this server hands out tokens to the page, asked once at load. */
import { useEffect, useState } from 'react';
import { fetchPageMode } from '../lib/serverApi';

/** `unknown` while the answer is on its way; `unreachable` when none came. */
export interface PageModeState {
  state: 'unknown' | 'dev' | 'production' | 'unreachable';
  version?: string;
}

export function usePageMode(pageHref: string): PageModeState {
  const [mode, setMode] = useState<PageModeState>({ state: 'unknown' });
  useEffect(() => {
    let wanted = true;
    fetchPageMode(pageHref).then(
      ({ dev, version }) => wanted && setMode({ state: dev ? 'dev' : 'production', ...(version && { version }) }),
      () => wanted && setMode({ state: 'unreachable' }),
    );
    return () => {
      wanted = false;
    };
  }, [pageHref]);
  return mode;
}
