// What every page has: a room whose events go to the test, tracks that can be recognised, and measuring of what arrives.
//
// Owns nothing but this page's clients. A test sends the body of an async function, which sees `e2e`, `LK` and its
// arguments by name. Values that leave the page are plain data (`plain`).
'use strict';

window.LK = window.LivekitClient;

window.e2e = (() => {
  const BARS = ['rgb(220,30,30)', 'rgb(30,200,30)', 'rgb(30,30,220)', 'rgb(220,220,220)'];
  const hex = (buffer) => [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, '0')).join('');

  // Participants, publications and tracks become what tests ask of them; bytes become text or their length.
  function plain(value, depth = 0) {
    if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return value;
    if (value === undefined || typeof value === 'function' || depth > 3) return null;
    if (value instanceof Uint8Array) return value.length < 1000 ? new TextDecoder().decode(value) : { length: value.length };
    if (Array.isArray(value)) return value.map((v) => plain(v, depth + 1));
    if (value instanceof Error) return { error: value.name, message: value.message, reason: value.reason ?? null };
    if (value instanceof LK.Participant) return { identity: value.identity, sid: value.sid };
    if (value instanceof LK.TrackPublication) {
      return { publication: value.trackSid, name: value.trackName, kind: value.kind, source: value.source, muted: value.isMuted };
    }
    if (value instanceof LK.Track) return { track: value.sid ?? null, kind: value.kind };
    if (value instanceof Map) return plain(Object.fromEntries(value), depth + 1);
    if (Object.getPrototypeOf(value) === Object.prototype) {
      return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v, depth + 1)]));
    }
    return String(value);
  }

  const notify = (name, ...args) => window.e2eNotify(name, args.map((a) => plain(a)));

  const AsyncFunction = (async () => {}).constructor;
  const run = async (body, args) => plain(await new AsyncFunction('e2e', 'LK', ...Object.keys(args), body)(api, window.LK, ...Object.values(args)), -2);

  async function until(probe, what, ms = 15000) {
    const end = performance.now() + ms;
    for (;;) {
      const value = await probe();
      if (value) return value;
      if (performance.now() > end) throw new Error(`no ${what} within ${ms} ms`);
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  }

  // When this page was not run for more than a tenth of a second: no picture is sent or shown then, whatever a server does.
  const TICK_MS = 20;
  const stalls = [];
  let due = performance.now() + TICK_MS;
  setInterval(() => {
    if (performance.now() - due > 100) stalls.push(Date.now());
    due = performance.now() + TICK_MS;
  }, TICK_MS);

  // Peer connections made by this page, for statistics and descriptions.
  const connections = [];
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...args) { super(...args); connections.push(this); }
  };

  // Every signalling URL this page opened.
  const sockets = [];
  const NativeSocket = window.WebSocket;
  window.WebSocket = class extends NativeSocket {
    constructor(...args) { super(...args); sockets.push(String(args[0])); }
  };

  async function join(url, token, options = {}, connectOptions = {}) {
    const room = new LK.Room(options);
    for (const name of Object.values(LK.RoomEvent)) room.on(name, (...args) => notify(name, ...args));
    if (api.onTrack) room.on(LK.RoomEvent.TrackSubscribed, api.onTrack);
    api.room = room;
    await room.connect(url, token, connectOptions);
    return { sid: await room.getSid(), participant: room.localParticipant.sid };
  }

  function audio() {
    api.context ??= new AudioContext({ sampleRate: 48000 });
    return api.context;
  }

  function toneTrack(hz = 440, gain = 0.4) {
    const context = audio();
    const oscillator = new OscillatorNode(context, { frequency: hz });
    const volume = new GainNode(context, { gain });
    const destination = new MediaStreamAudioDestinationNode(context, { channelCount: 1, channelCountMode: 'explicit' });
    oscillator.connect(volume).connect(destination);
    oscillator.start();
    const track = destination.stream.getAudioTracks()[0];
    track.e2eVolume = volume;
    return track;
  }

  function noiseCanvas(width, height) {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const pen = canvas.getContext('2d');
    const image = pen.createImageData(width, height);
    for (let i = 0; i < image.data.length; i += 1) image.data[i] = i % 4 === 3 ? 255 : Math.random() * 256;
    pen.putImageData(image, 0, 0);
    return canvas;
  }

  // `snow`: the strip below the bars is noise, so that an encoder needs all it may use, in every layer.
  function barsTrack({ width = 320, height = 240, fps = 15, snow = false } = {}) {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const pen = canvas.getContext('2d');
    let count = 0;
    const edge = Math.floor((height * 3) / 4);
    const strip = height - edge;
    const noise = snow && noiseCanvas(2 * width, 2 * height);
    const draw = () => {
      BARS.forEach((colour, i) => { pen.fillStyle = colour; pen.fillRect((i * width) / 4, 0, width / 4, edge); });
      pen.fillStyle = 'black';
      pen.fillRect(0, edge, width, strip);
      if (noise) pen.drawImage(noise, Math.random() * width, Math.random() * height, width, strip, 0, edge, width, strip);
      pen.fillStyle = 'white';
      pen.fillRect((count * 8) % (width - width / 8), edge, width / 8, strip);
      count += 1;
    };
    draw();
    setInterval(draw, 1000 / fps);
    return canvas.captureStream(fps).getVideoTracks()[0];
  }

  async function publishTone(hz = 440, options = {}) {
    const publication = await api.room.localParticipant.publishTrack(toneTrack(hz), { source: 'microphone', ...options });
    return publication.trackSid;
  }

  async function publishBars({ width, height, fps, snow, ...options } = {}) {
    const track = barsTrack({ width, height, fps, snow });
    const publication = await api.room.localParticipant.publishTrack(track, { source: 'camera', simulcast: false, ...options });
    return publication.trackSid;
  }

  function remoteTrack(identity, kind, source, sid) {
    const participant = api.room.remoteParticipants.get(identity);
    const found = [...(participant?.trackPublications.values() ?? [])]
      .find((p) => p.kind === kind && p.track && (!source || p.source === source) && (!sid || p.trackSid === sid));
    return found?.track;
  }

  // An analyser of a subscribed audio track for as long as `use` takes.
  async function analysed(identity, source, ms, use) {
    const track = await until(() => remoteTrack(identity, 'audio', source), `audio of ${identity}`, ms);
    const element = track.attach();
    element.muted = true; // Chromium decodes remote sound only when an element asks for it
    document.body.append(element);
    const context = audio();
    await context.resume();
    const analyser = new AnalyserNode(context, { fftSize: 16384, smoothingTimeConstant: 0 });
    const input = context.createMediaStreamSource(new MediaStream([track.mediaStreamTrack]));
    input.connect(analyser);
    try {
      return await use(analyser);
    } finally {
      input.disconnect();
      element.remove();
    }
  }

  // The strongest frequency of a subscribed audio track, once it is the wanted one; with `hz`, once more than half of
  // the sound's power is there, which chance does not bring about in noise (an encrypted track without its key).
  function hear(identity, { hz, source, ms = 15000 } = {}) {
    return analysed(identity, source, ms, async (analyser) => {
      const bins = new Float32Array(analyser.frequencyBinCount);
      let last = 0;
      try {
        await until(() => {
          analyser.getFloatFrequencyData(bins);
          const peak = bins.reduce((best, v, i) => (v > bins[best] ? i : best), 0);
          last = bins[peak] > -70 ? (peak * analyser.context.sampleRate) / analyser.fftSize : 0;
          return hz === undefined ? last > 0 : Math.abs(last - hz) < 6 && share(bins, peak) > 0.5;
        }, `tone of ${hz} Hz`, ms);
      } catch (error) {
        throw new Error(`${error.message}; last heard ${last} Hz`);
      }
      return last;
    });
  }

  // Which part of the power in `bins` (in dB) is in the tone at `peak`: within the width that the window gives it.
  function share(bins, peak) {
    const power = (from, to) => bins.slice(from, to).reduce((sum, db) => sum + 10 ** (db / 10), 0);
    return power(Math.max(0, peak - 5), peak + 6) / power(0, bins.length);
  }

  // The loudness (root mean square, 1 is full scale) of a subscribed audio track, once it is even.
  function loudness(identity, { source, ms = 15000 } = {}) {
    return analysed(identity, source, ms, (analyser) => {
      const wave = new Float32Array(analyser.fftSize);
      let last = 0;
      return until(() => {
        analyser.getFloatTimeDomainData(wave);
        const before = last;
        last = Math.sqrt(wave.reduce((sum, v) => sum + v * v, 0) / wave.length);
        return last > 0 && Math.abs(last - before) < 0.02 * last && last;
      }, 'even loudness', ms);
    });
  }

  // Some time of a subscribed audio track as a WebM file in base64, for browsers without an audio clock.
  async function record(identity, ms) {
    const track = await until(() => remoteTrack(identity, 'audio'), `audio of ${identity}`);
    const element = track.attach();
    element.muted = true;
    document.body.append(element);
    const recorder = new MediaRecorder(new MediaStream([track.mediaStreamTrack]));
    const parts = [];
    recorder.ondataavailable = (event) => parts.push(event.data);
    const ended = new Promise((resolve) => { recorder.onstop = resolve; });
    recorder.start();
    setTimeout(() => recorder.stop(), ms);
    await ended;
    element.remove();
    const bytes = new Uint8Array(await new Blob(parts).arrayBuffer());
    return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(''));
  }

  // Size, bar colours, and whether the picture moved over some presented frames.
  async function see(identity, { source, sid, frames = 10, ms = 15000, minWidth = 0 } = {}) {
    const track = await until(() => remoteTrack(identity, 'video', source, sid), `video of ${identity}`, ms);
    const element = track.attach();
    element.muted = true;
    document.body.append(element);
    await element.play().catch(() => {});
    const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 48 });
    const pen = canvas.getContext('2d', { willReadFrequently: true });
    const grab = () => { pen.drawImage(element, 0, 0, 64, 48); return pen.getImageData(0, 0, 64, 48).data; };
    const start = element.currentTime;
    try {
      await until(() => element.videoWidth > minWidth && element.currentTime > start, 'first frame', ms);
      let shown = 0;
      const more = () => { shown += 1; element.requestVideoFrameCallback(more); };
      element.requestVideoFrameCallback(more);
      // Firefox counts no frames of a stream, Chromium calls back only in the tab in front: whichever tells more.
      const total = () => element.getVideoPlaybackQuality().totalVideoFrames;
      const begun = total();
      const count = () => Math.max(shown, total() - begun);
      const first = grab();
      await until(() => count() >= frames, `${frames} frames`, ms);
      const last = grab();
      const mean = (bar) => [0, 1, 2].map((channel) => {
        let sum = 0;
        let n = 0;
        for (let y = 6; y < 30; y += 1) for (let x = bar * 16 + 4; x < bar * 16 + 12; x += 1) { sum += last[(y * 64 + x) * 4 + channel]; n += 1; }
        return sum / n;
      });
      let change = 0;
      for (let i = 36 * 64 * 4; i < last.length; i += 4) change = Math.max(change, Math.abs(last[i] - first[i]));
      return { width: element.videoWidth, height: element.videoHeight, bars: [0, 1, 2, 3].map(mean), frames: count(), moved: change > 60 };
    } finally {
      element.remove();
    }
  }

  // All statistics reports of a type over all peer connections.
  async function stats(type, match = () => true) {
    const found = [];
    for (const connection of connections) {
      if (connection.connectionState === 'closed') continue;
      for (const report of (await connection.getStats()).values()) if (report.type === type && match(report)) found.push(report);
    }
    return found;
  }

  // What the RTP streams of a kind carry, as `video/VP8`, with their format parameters.
  async function codecs(type, kind) {
    const rtp = await stats(type, (s) => s.kind === kind && (s.packetsReceived ?? s.packetsSent) > 0);
    const all = await stats('codec');
    return rtp.map((s) => all.find((c) => c.id === s.codecId)).map((c) => [c?.mimeType, c?.sdpFmtpLine ?? '']);
  }

  const digest = async (bytes) => hex(await crypto.subtle.digest('SHA-256', bytes));

  const api = { run, until, notify, plain, connections, sockets, stalls, join, toneTrack, barsTrack, publishTone, publishBars, remoteTrack, hear, loudness, record, see, stats, codecs, digest };
  return api;
})();
