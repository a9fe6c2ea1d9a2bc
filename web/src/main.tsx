/** Starts the page: builds the session on this browser and this server, then hands over to React. */
import { Room } from 'livekit-client';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './App';
import { requestToken, validateToken } from './lib/serverApi';
import { signalUrl } from './lib/serverUrl';
import { type DeviceChoice, MeetingSession } from './meeting/meetingSession';
import './styles/base.css';
import './styles/join.css';
import './styles/meeting.css';
import './styles/panels.css';

const pageHref = window.location.href;

function createRoom(devices: DeviceChoice): Room {
  return new Room({
    adaptiveStream: true,
    dynacast: true,
    ...(devices.audioinput && { audioCaptureDefaults: { deviceId: devices.audioinput } }),
    ...(devices.videoinput && { videoCaptureDefaults: { deviceId: devices.videoinput } }),
    ...(devices.audiooutput && { audioOutput: { deviceId: devices.audiooutput } }),
  });
}

const session = new MeetingSession({
  signalUrl: signalUrl(pageHref),
  createRoom,
  requestToken: async (roomName, displayName) => (await requestToken(pageHref, roomName, displayName)).token,
  validateToken: (token) => validateToken(pageHref, token),
  now_ms: () => Date.now(),
});
window.addEventListener('online', session.retryNow);

const container = document.getElementById('root');
if (!container) throw new Error('index.html has no #root');
createRoot(container).render(
  <StrictMode>
    <App session={session} pageHref={pageHref} />
  </StrictMode>,
);
