/** A token handed over in the address, `#token=…`. It is taken out of the address bar and the history at once. */
import { useEffect, useState } from 'react';
import { tokenFromHash, withoutToken } from '../lib/token';

export function useHashToken(): string | undefined {
  const [token, setToken] = useState(() => tokenFromHash(window.location.hash));
  useEffect(() => {
    const take = () => {
      const found = tokenFromHash(window.location.hash);
      if (found === undefined) return;
      setToken(found);
      window.history.replaceState(null, '', withoutToken(window.location.href));
    };
    take();
    window.addEventListener('hashchange', take);
    return () => window.removeEventListener('hashchange', take);
  }, []);
  return token;
}
