/** Camera, microphone and screen: what the browser's errors mean to a person. */
import { MediaDeviceFailure } from 'livekit-client';
import { messageOf, type Problem } from './problem';

export type Capture = 'microphone' | 'camera' | 'screen' | 'speaker';

/** A problem of one device. `cause` is set where two devices may share it. */
export interface DeviceProblem extends Problem {
  cause?: 'denied' | 'absent';
}

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
export function deviceProblem(capture: Capture, error: unknown): DeviceProblem | undefined {
  const failure = MediaDeviceFailure.getFailure(error);
  if (capture === 'screen') return screenProblem(failure, error);
  switch (failure) {
    case MediaDeviceFailure.PermissionDenied:
      return {
        cause: 'denied',
        title: `Your browser does not let this page use the ${capture}`,
        text: EFFECT[capture],
        hints: deniedHints(`the ${capture}`, 'it'),
      };
    case MediaDeviceFailure.NotFound:
      return {
        cause: 'absent',
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

/**
 * Microphone and camera mostly fail together and for one reason: then one text says it for both.
 * Undefined where they have nothing in common, and each needs its own words.
 */
export function jointProblem(microphone: DeviceProblem, camera: DeviceProblem): Problem | undefined {
  if (!microphone.cause || microphone.cause !== camera.cause) return undefined;
  const text = 'The others can neither hear nor see you.';
  if (microphone.cause === 'absent') {
    return {
      title: 'No microphone and no camera were found',
      text,
      hints: ['Plug them in, then turn them on again. You can stay in the meeting without.'],
    };
  }
  return {
    title: 'Your browser does not let this page use microphone and camera',
    text,
    hints: deniedHints('both', 'them'),
  };
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

function deniedHints(what: string, pronoun: string): readonly string[] {
  return [
    `Click the icon to the left of the address, allow ${what}, then turn ${pronoun} on again.`,
    'If that is allowed already, look in the system’s privacy settings for this browser.',
  ];
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
