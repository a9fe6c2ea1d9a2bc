/** A button that copies a link; where the clipboard is out of reach (plain http), it shows the link instead. */
import { useState } from 'react';
import { Icon } from '../components/icons';

interface CopyLinkProps {
  href: string;
  /** What it says, and is called. */
  label: string;
  className: string;
  /** Whether a narrow window shows the icon only. */
  shrinks?: boolean;
}

export function CopyLink({ href, label, className, shrinks = false }: CopyLinkProps) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(href);
      setCopied(true);
    } catch {
      window.prompt('Link to this room', href);
    }
  };
  return (
    <button type="button" className={className} onClick={() => void copy()} onBlur={() => setCopied(false)}>
      <Icon name={copied ? 'check' : 'link'} size={18} />
      <span className={shrinks ? 'wide-only' : ''} role="status">
        {copied ? 'Link copied' : label}
      </span>
      {shrinks && <span className="visually-hidden narrow-only">{label}</span>}
    </button>
  );
}
