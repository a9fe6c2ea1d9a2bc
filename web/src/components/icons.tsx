/** The page's icons: 24 × 24 outlines in the colour of the text. They are decoration; buttons carry the words. */
import type { ReactNode } from 'react';

const SHAPES = {
  microphone: (
    <>
      <rect x="9" y="3" width="6" height="11" rx="3" />
      <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
    </>
  ),
  microphoneOff: (
    <>
      <path d="M9 9v2a3 3 0 0 0 4.6 2.5M15 11V6a3 3 0 0 0-5.6-1.5M5.5 11.5a6.5 6.5 0 0 0 10.3 5.3M18.5 11.5c0 .8-.1 1.5-.4 2.2M12 18v3M4 4l16 16" />
    </>
  ),
  camera: (
    <>
      <rect x="3" y="6.5" width="12" height="11" rx="2.5" />
      <path d="m15 11 5.2-3.2a.5.5 0 0 1 .8.4v7.6a.5.5 0 0 1-.8.4L15 13z" />
    </>
  ),
  cameraOff: (
    <path d="M10 6.5h2.5A2.5 2.5 0 0 1 15 9v2l5.2-3.2a.5.5 0 0 1 .8.4v7.3M14.7 16.2a2.5 2.5 0 0 1-2.2 1.3h-7A2.5 2.5 0 0 1 3 15V9a2.5 2.5 0 0 1 2-2.45M4 4l16 16" />
  ),
  screen: (
    <>
      <rect x="3" y="4.5" width="18" height="12.5" rx="2" />
      <path d="M8.5 20.5h7M12 13.5V8.2M9.6 10.3 12 8l2.4 2.3" />
    </>
  ),
  screenOff: (
    <>
      <rect x="3" y="4.5" width="18" height="12.5" rx="2" />
      <path d="M8.5 20.5h7M9.7 8.5l4.6 4.6M14.3 8.5l-4.6 4.6" />
    </>
  ),
  chat: <path d="M20.5 11.5a7.5 7.5 0 0 1-7.5 7.5H4.5l1.7-2.7A7.5 7.5 0 1 1 20.5 11.5z" />,
  people: (
    <>
      <circle cx="9" cy="8.5" r="3.5" />
      <path d="M2.8 19.5a6.2 6.2 0 0 1 12.4 0M15.5 5.3a3.5 3.5 0 0 1 0 6.4M17.6 14.3a6.2 6.2 0 0 1 3.6 5.2" />
    </>
  ),
  settings: (
    <>
      <path d="M4 7h8M18 7h2M4 17h2M12 17h8" />
      <circle cx="15" cy="7" r="2.6" />
      <circle cx="9" cy="17" r="2.6" />
    </>
  ),
  leave: (
    <path
      fill="currentColor"
      d="M3.3 14.7c-.8-.8-.9-2.2-.1-3.1C5.3 9.3 8.5 8 12 8s6.7 1.3 8.8 3.6c.8.9.7 2.3-.1 3.1l-.6.6a1.3 1.3 0 0 1-1.6.2l-2.2-1.4a1.3 1.3 0 0 1-.6-1.1v-1.3a12 12 0 0 0-7.4 0V13c0 .4-.2.9-.6 1.1l-2.2 1.4a1.3 1.3 0 0 1-1.6-.2z"
    />
  ),
  pin: <path d="M9 4h6l-.8 6 3.3 3.5v1.5h-11v-1.5L9.8 10zM12 15v5.5" />,
  unpin: <path d="M14.6 7 15 4H9M9.6 9.8 6.5 13.5V15h8M16 12l1.5 1.5M12 15v5.5M4 4l16 16" />,
  close: <path d="m6 6 12 12M18 6 6 18" />,
  link: <path d="M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1" />,
  check: <path d="m5 12.5 4.5 4.5L19 7.5" />,
  warning: <path d="M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.1" />,
  send: <path d="M4 12h10M4.5 4.5 20.5 12 4.5 19.5 7 12z" />,
  sound: <path d="M4 9.5v5h3.5L12 18.5v-13L7.5 9.5zM15.5 9a4.2 4.2 0 0 1 0 6M18 6.5a7.8 7.8 0 0 1 0 11" />,
  next: <path d="m9.5 5.5 6.5 6.5-6.5 6.5" />,
  previous: <path d="M14.5 5.5 8 12l6.5 6.5" />,
  signal: <path d="M5 19v-3M10 19v-6M15 19v-9M20 19V6" />,
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof SHAPES;

export function Icon({ name, size = 22 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      viewBox="0 0 24 24"
      width={size}
      height={size}
      fill="none"
      stroke="currentColor"
      strokeWidth="1.8"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      {SHAPES[name]}
    </svg>
  );
}

/** The mark: rows of seats round a speaker. */
export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg className="mark" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true">
      <g fill="none" stroke="currentColor" strokeWidth="3.4" strokeLinecap="round">
        <path d="M3.5 20a12.5 12.5 0 0 1 25 0" />
        <path d="M9.5 21.5a6.5 6.5 0 0 1 13 0" />
      </g>
      <circle cx="16" cy="25" r="2.2" fill="currentColor" />
    </svg>
  );
}
