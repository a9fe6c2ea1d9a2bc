import { describe, expect, it } from 'vitest';
import { type DeviceProblem, deviceProblem, insecurePageProblem, jointProblem } from './deviceProblem';

const named = (name: string, message = '') => Object.assign(new Error(message), { name });

describe('deviceProblem', () => {
  it.each([
    ['camera', 'NotAllowedError', 'Your browser does not let this page use the camera'],
    ['microphone', 'NotAllowedError', 'Your browser does not let this page use the microphone'],
    ['camera', 'NotFoundError', 'No camera was found'],
    ['microphone', 'NotReadableError', 'The microphone is busy'],
    ['camera', 'AbortError', 'The camera did not start'],
    ['speaker', 'NotFoundError', 'No speaker was found'],
  ] as const)('%s, %s: %s', (capture, name, title) => {
    expect(deviceProblem(capture, named(name))?.title).toBe(title);
  });

  it('is silent about a closed screen picker, not about a refusing system', () => {
    expect(deviceProblem('screen', named('NotAllowedError', 'Permission denied'))).toBeUndefined();
    const refused = deviceProblem('screen', named('NotAllowedError', 'Permission denied by system'));
    expect(refused?.title).toBe('The screen could not be shared');
  });

  it('keeps the browser’s words for what it does not know', () => {
    expect(deviceProblem('camera', named('OddError', 'lens cap'))?.detail).toBe('lens cap');
  });
});

describe('jointProblem', () => {
  const problem = (capture: 'microphone' | 'camera', name: string) =>
    deviceProblem(capture, named(name)) as DeviceProblem;
  const joint = (ofMicrophone: string, ofCamera: string) =>
    jointProblem(problem('microphone', ofMicrophone), problem('camera', ofCamera))?.title;

  it('says once what is wrong with both', () => {
    expect(joint('NotAllowedError', 'NotAllowedError')).toMatch(/use microphone and camera/);
    expect(joint('NotFoundError', 'NotFoundError')).toMatch(/No microphone and no camera/);
  });

  it('keeps apart what has two causes', () => {
    expect(joint('NotAllowedError', 'NotFoundError')).toBeUndefined();
    expect(joint('NotReadableError', 'NotReadableError')).toBeUndefined();
  });
});

describe('insecurePageProblem', () => {
  it('names the host and the way to HTTPS', () => {
    const problem = insecurePageProblem('192.168.1.5:7880');
    expect(problem.text).toContain('192.168.1.5:7880');
    expect(problem.hints?.join(' ')).toMatch(/--tls-cert .* --tls-key/);
  });
});
