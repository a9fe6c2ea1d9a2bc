/** Camera, microphone and screen: what the browser's errors mean to a person. */
import { MediaDeviceFailure } from 'livekit-client';
import { messageOf, type Problem } from './problem';

export type Capture = 'microphone' | 'camera' | 'screen' | 'speaker';

const EFFECT: Record<Capture, string> = {
  microphone: 'The others cannot hear you.',
  camera: 'The others cannot see you.',
  screen: 'Your screen is not shared.',
  speaker: 'You keep hearing the meeting where you did.',
};

/**
 * The problem to show for a failed capture, or undefined when there is nothing to tell:
 * closing the browser's screen picker is a decision, not a failure.
 */
export function deviceProblem(capture: Capture, error: unknown): Problem | undefined {
  const failure = MediaDeviceFailure.getFailure(error);
  if (capture === 'screen') return screenProblem(failure, error);
  switch (failure) {
    case MediaDeviceFailure.PermissionDenied:
      return {
        title: `Your browser does not let this page use the ${capture}`,
        text: EFFECT[capture],
        hints: [
          `Click the icon to the left of the address, allow the ${capture}, then turn it on again.`,
          `If it is allowed there, look in the system’s privacy settings for this browser.`,
        ],
      };
    case MediaDeviceFailure.NotFound:
      return {
        title: `No ${capture} was found`,
        text: EFFECT[capture],
        hints: ['Plug one in, then turn it on again. You can stay in the meeting without.'],
      };
    case MediaDeviceFailure.DeviceInUse:
      return {
        title: `The ${capture} is busy`,
        text: `Another program or tab is using it. ${EFFECT[capture]}`,
        hints: ['Close the other program, or choose another device, then turn it on again.'],
      };
    default:
      return { title: `The ${capture} did not start`, text: EFFECT[capture], ...detailOf(error) };
  }
}

/** Where the browser hides the devices because the page's address is neither HTTPS nor this machine. */
export function insecurePageProblem(host: string): Problem {
  return {
    title: 'Camera and microphone need a secure address',
    text: `Browsers only offer them to pages on HTTPS or on localhost, and this page came from ${host} without encryption. You can join to watch, listen and chat.`,
    hints: [
      'Start the server with a certificate: --tls-cert cert.pem --tls-key key.pem, then open the https:// address.',
      'Or put a reverse proxy with HTTPS in front of it.',
      'On the server’s own machine, open http://localhost instead.',
    ],
  };
}

function screenProblem(failure: MediaDeviceFailure | undefined, error: unknown): Problem | undefined {
  // Chromium says NotAllowedError for a cancelled picker as well as for a refusal by the system.
  if (failure === MediaDeviceFailure.PermissionDenied && !/system/i.test(messageOf(error))) return undefined;
  return {
    title: 'The screen could not be shared',
    text: 'The browser or the system refused it.',
    hints: ['Allow screen recording for this browser in the system’s privacy settings, then try again.'],
    ...detailOf(error),
  };
}

function detailOf(error: unknown): { detail?: string } {
  const detail = messageOf(error);
  return detail ? { detail } : {};
}
