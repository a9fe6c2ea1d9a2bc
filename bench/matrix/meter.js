// The body of a function that gives a page `e2e.matrix`: publishing for the matrix, and measuring what arrives.
//
// Owns the counters of one page. They never fall: a connection that is replaced keeps what it had counted. All times are
// the machine's clock in milliseconds, so that two browsers on one machine can be compared.
const TICK_MS = 50;
const SAMPLE_MS = 250;
// The columns of a sample after its time and the picture's height: the sum of a counter over all streams of a kind.
const COUNTERS = [
  ['frames', 'video', 'framesDecoded'], ['freezes', 'video', 'freezeCount'], ['frozen_s', 'video', 'totalFreezesDuration'],
  ['video_bytes', 'video', 'bytesReceived'], ['video_lost', 'video', 'packetsLost'], ['nacks', 'video', 'nackCount'],
  ['plis', 'video', 'pliCount'], ['played', 'audio', 'totalSamplesReceived'], ['concealed', 'audio', 'concealedSamples'],
  ['audio_bytes', 'audio', 'bytesReceived'], ['audio_lost', 'audio', 'packetsLost'],
];

// How late a timer is because the page was not run: the worst, and the part of ticks over 100 ms late.
const lag = { ticks: 0, late: 0, worstMs: 0 };
let due = performance.now() + TICK_MS;
setInterval(() => {
  const late = performance.now() - due;
  lag.ticks += 1;
  lag.late += late > 100 ? 1 : 0;
  lag.worstMs = Math.max(lag.worstMs, late);
  due = performance.now() + TICK_MS;
}, TICK_MS);

const takeLag = () => {
  const taken = { ...lag };
  Object.assign(lag, { ticks: 0, late: 0, worstMs: 0 });
  return taken;
};

async function join(url, token, options) {
  const room = new LK.Room({ adaptiveStream: false, dynacast: false, ...options });
  e2e.room = room;
  room.on(LK.RoomEvent.Reconnecting, () => { states.push([Date.now(), 'reconnecting']); });
  room.on(LK.RoomEvent.SignalReconnecting, () => { states.push([Date.now(), 'signal reconnecting']); });
  room.on(LK.RoomEvent.Reconnected, () => { states.push([Date.now(), 'reconnected']); });
  room.on(LK.RoomEvent.Disconnected, (reason) => { states.push([Date.now(), `disconnected ${reason}`]); });
  room.on(LK.RoomEvent.TrackStreamStateChanged, (publication, state) => { states.push([Date.now(), `${publication.kind} ${state}`]); });
  room.on(LK.RoomEvent.TrackSubscribed, (track) => {
    const element = track.attach();
    element.muted = true; // Chromium decodes remote sound only when an element asks for it
    element.width = 160;
    document.body.append(element);
  });
  room.on(LK.RoomEvent.DataReceived, (payload) => {
    const { kind, sent } = JSON.parse(new TextDecoder().decode(payload));
    messages.push([kind, sent, Date.now()]);
  });
  await room.connect(url, token);
}

// ------------------------------------------------------------------ the publisher

let sent = []; // kind, at

async function publish(width, height, frameRate) {
  const sound = await LK.createLocalAudioTrack({ echoCancellation: false, noiseSuppression: false, autoGainControl: false });
  const picture = await LK.createLocalVideoTrack({ resolution: { width, height, frameRate } });
  const participant = e2e.room.localParticipant;
  // Without DTX: silence between the beeps of the fake microphone would count as concealed.
  await participant.publishTrack(sound, { source: 'microphone', dtx: false, red: true });
  await participant.publishTrack(picture, { source: 'camera', simulcast: true, videoCodec: 'vp8' });
  const text = new TextEncoder();
  const say = async (kind) => {
    const at = Date.now();
    sent.push([kind, at]);
    await participant.publishData(text.encode(JSON.stringify({ kind, sent: at, filling: '.'.repeat(100) })), { reliable: kind === 'reliable' });
  };
  setInterval(() => { say('lossy').catch(() => {}); }, 40);
  setInterval(() => { say('reliable').catch(() => {}); }, 200);
}

// Counters so far, by layer, and the messages since the last call. `shortOfCpuS` is the time that WebRTC itself says it was limited by the CPU.
async function sending() {
  const layers = await e2e.stats('outbound-rtp', (s) => s.kind === 'video');
  const source = (await e2e.stats('media-source', (s) => s.kind === 'video'))[0];
  const said = sent;
  sent = [];
  return {
    at: Date.now(),
    sent: said,
    sourceFrames: source?.frames ?? 0,
    layers: layers.map((s) => ({ rid: s.rid ?? '', width: s.frameWidth ?? 0, frames: s.framesEncoded, bytes: s.bytesSent, plis: s.pliCount,
      shortOfCpuS: s.qualityLimitationDurations?.cpu ?? 0, shortOfBandwidthS: s.qualityLimitationDurations?.bandwidth ?? 0 })),
    lag: takeLag(),
  };
}

// ------------------------------------------------------------------ the subscriber

const messages = []; // kind, sent at, arrived at
const states = [];
const samples = [];
const last = new Map(); // connection and report -> its last counters
let height = 0;

async function sample() {
  const reports = await Promise.all(e2e.connections.map(async (connection, index) => (
    connection.connectionState === 'closed' ? [] : [...(await connection.getStats()).values()].map((s) => [`${index}/${s.id}`, s]))));
  for (const [key, report] of reports.flat()) {
    if (report.type === 'inbound-rtp') {
      if (report.framesDecoded > (last.get(key)?.framesDecoded ?? 0)) height = report.frameHeight ?? height;
      last.set(key, report);
    }
  }
  const all = [...last.values()];
  const row = { at: Date.now(), height };
  for (const [name, kind, field] of COUNTERS) {
    row[name] = all.reduce((sum, s) => sum + (s.kind === kind ? s[field] ?? 0 : 0), 0);
  }
  return row;
}

let sampling = false;
const take = async () => {
  if (sampling) return;
  sampling = true;
  try { samples.push(await sample()); } finally { sampling = false; }
};

function measure() { setInterval(take, SAMPLE_MS); }

// A second of the wanted layer at that rate, with sound and data: from here on a condition can show.
async function settled(wantedHeight, fps, ms) {
  await e2e.until(() => {
    const now = samples.at(-1);
    const before = samples.findLast((s) => s.at <= now?.at - 1000);
    return before && now.height >= wantedHeight && before.height >= wantedHeight
      && now.frames - before.frames >= fps
      && now.played - before.played > 40_000
      && messages.some(([kind]) => kind === 'lossy') && messages.some(([kind]) => kind === 'reliable');
  }, `steady picture of ${wantedHeight} lines with sound and data; last sample ${JSON.stringify(samples.at(-1))}`, ms);
  takeLag();
}

const received = () => ({ samples, messages, states, lag: takeLag() });

e2e.matrix = { join, publish, sending, measure, settled, received };
