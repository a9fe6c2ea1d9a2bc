//! The engine's own speed: one publisher to many subscribers through a real [`Engine`] (threads, sockets, GSO), as fast
//! as it takes packets. Nothing but its own CPU time limits it; subscribers take their datagrams without opening them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use plenum_core::sdp::{CodecPolicy, RemoteOffer};
use plenum_core::{Command, DataProfile, Event, MediaKind, PublishLine, TransportRole, TransportSeed};
use plenum_io::net::ReceiveBatch;
use plenum_io::{Engine, EngineConfig};

use crate::args::Arguments;
use crate::association::{Association, NewLine};
use crate::error::LoadError;
use crate::publisher::{Publisher, VIDEO_TRACK, Voices};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(30);
/// After that long, missing datagrams of a frame count as lost.
const FRAME_PATIENCE: Duration = Duration::from_millis(100);
/// The engine publishes its counters ten times a second.
const SETTLE: Duration = Duration::from_millis(250);
/// Pace of the frames before the measurement.
const FIRST_FRAMES_INTERVAL: Duration = Duration::from_millis(50);
const PUBLISHER: u64 = 1;
const FIRST_SUBSCRIBER: u64 = 100;
/// Down tracks of one subscriber are numbered from a multiple of this.
const MOST_TRACKS: u64 = 1_000;

/// Result of [`measure_forward`].
#[derive(Debug, Clone)]
pub struct ForwardCost {
    /// Datagrams that arrived at the subscribers.
    pub arrived: u64,
    /// What the engine's counters rose by, those that did.
    pub counters: BTreeMap<String, u64>,
    /// CPU time of the engine's thread.
    pub cpu: Duration,
    /// Time on the clock.
    pub elapsed: Duration,
}

/// Forwards frames of `packets_per_frame` full packets to `subscribers` for about `duration`.
pub fn measure_forward(
    subscribers: u64,
    packets_per_frame: u32,
    duration: Duration,
) -> Result<ForwardCost, LoadError> {
    measure(Source::video(packets_per_frame), subscribers, duration)
}

/// Forwards `tracks` voices to each of `subscribers` for about `duration`.
pub fn measure_voices(subscribers: u64, tracks: usize, duration: Duration) -> Result<ForwardCost, LoadError> {
    measure(Source::Voices(Voices::new(tracks)), subscribers, duration)
}

fn measure(source: Source, subscribers: u64, duration: Duration) -> Result<ForwardCost, LoadError> {
    let mut bench = Bench::start(source)?;
    for number in 0..subscribers {
        bench.add_subscriber(number)?;
    }
    bench.connect()?;
    bench.run(duration)
}

/// What the publisher sends in a round.
enum Source {
    /// One frame.
    Video { publisher: Box<Publisher>, packets_per_frame: u32 },
    /// A packet of each.
    Voices(Voices),
}

impl Source {
    fn video(packets_per_frame: u32) -> Self {
        // One frame per call: the clock plays no role, only the size does.
        let fps = 1000;
        let video_bps = u64::from(packets_per_frame) * 1150 * 8 * u64::from(fps);
        let publisher = Publisher::new(&Arguments { video_bps, fps, ..Arguments::default() });
        Self::Video { publisher: Box::new(publisher), packets_per_frame }
    }

    fn kind(&self) -> MediaKindOfClient {
        match self {
            Self::Video { .. } => MediaKindOfClient::Video,
            Self::Voices(_) => MediaKindOfClient::Audio,
        }
    }

    fn tracks(&self) -> Vec<String> {
        match self {
            Self::Video { .. } => vec![VIDEO_TRACK.to_owned()],
            Self::Voices(voices) => voices.tracks().map(str::to_owned).collect(),
        }
    }

    fn packets_per_round(&self) -> u64 {
        match self {
            Self::Video { packets_per_frame, .. } => u64::from(*packets_per_frame),
            Self::Voices(voices) => voices.tracks().count() as u64,
        }
    }

    fn run_round(&mut self, association: &mut Association) {
        match self {
            Self::Video { publisher, .. } => publisher.run_frame(association, Instant::now()),
            Self::Voices(voices) => voices.run_round(association, Instant::now()),
        }
    }
}

struct Bench {
    engine: Engine,
    publisher: Association,
    source: Source,
    subscribers: Vec<Association>,
    batch: ReceiveBatch,
}

impl Bench {
    fn start(source: Source) -> Result<Self, LoadError> {
        let config = EngineConfig { udp: vec![SocketAddr::new(LOOPBACK, 0)], ..EngineConfig::default() };
        let engine = Engine::start(&config)?;
        let mut publisher = Association::new(LOOPBACK, Instant::now())?;
        let tracks = source.tracks();
        let lines: Vec<NewLine<'_>> =
            tracks.iter().map(|track| NewLine { kind: source.kind(), track: Some(track) }).collect();
        let offer = publisher.offer(&lines, false).unwrap_or_default();
        let publish = (1_u64..).zip(&tracks).map(|(up_track, track)| PublishLine {
            mid: publisher.mid_of(track).map(|mid| mid.to_string()).unwrap_or_default().into(),
            up_track: up_track.into(),
            codec: None,
            codec_only: false,
            dtx: false,
            stereo: false,
            red: false,
            speaker: source.kind().is_audio(),
            muted: false,
            trailer: None,
        });
        open(&engine, PUBLISHER, TransportRole::Publisher)?;
        let answer = negotiate(&engine, PUBLISHER, &offer, publish.collect())?;
        publisher.take_answer(&answer)?;
        Ok(Self { engine, publisher, source, subscribers: Vec::new(), batch: ReceiveBatch::new() })
    }

    fn add_subscriber(&mut self, number: u64) -> Result<(), LoadError> {
        let id = FIRST_SUBSCRIBER + number;
        let mut association = Association::new(LOOPBACK, Instant::now())?;
        let tracks = self.source.tracks();
        let lines: Vec<NewLine<'_>> =
            tracks.iter().map(|_| NewLine { kind: self.source.kind(), track: None }).collect();
        let offer = association.offer(&lines, false).unwrap_or_default();
        open(&self.engine, id, TransportRole::Both)?;
        for up_track in (1_u64..).take(tracks.len()) {
            let kind = match self.source.kind() {
                MediaKindOfClient::Audio => MediaKind::Audio,
                MediaKindOfClient::Video => MediaKind::Video,
            };
            self.engine.submit(Command::AddDownTrack {
                down_track: (id * MOST_TRACKS + up_track).into(),
                transport: id.into(),
                up_track: up_track.into(),
                kind,
                stream_id: format!("PA_1|TR_{up_track}").into(),
                track_sid: format!("TR_{up_track}").into(),
                stereo: false,
                enabled: true,
                strip_trailer: false,
            })?;
        }
        let answer = negotiate(&self.engine, id, &offer, Vec::new())?;
        association.take_answer(&answer)?;
        self.subscribers.push(association);
        Ok(())
    }

    /// Drives all until every subscriber has got media.
    fn connect(&mut self) -> Result<(), LoadError> {
        let start = Instant::now();
        let mut next_frame = start;
        loop {
            let now = Instant::now();
            if next_frame <= now {
                next_frame = now + FIRST_FRAMES_INTERVAL;
                self.source.run_round(&mut self.publisher);
            }
            self.publisher.receive(now, &mut self.batch)?;
            self.publisher.run(now)?;
            let mut flowing = 0;
            for subscriber in &mut self.subscribers {
                subscriber.receive(now, &mut self.batch)?;
                if subscriber.next_timeout() <= now {
                    subscriber.run(now)?;
                }
                flowing += usize::from(subscriber.tally().packets > 0);
            }
            let _ = self.engine.drain(usize::MAX);
            if flowing == self.subscribers.len() {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let (seconds, wanted) = (PATIENCE.as_secs(), self.subscribers.len());
                return Err(LoadError::Deadline { seconds, reached: flowing, wanted, state: "receiving" });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn run(&mut self, duration: Duration) -> Result<ForwardCost, LoadError> {
        self.settle();
        let before = self.counters();
        let start = Instant::now();
        let mut arrived = 0;
        // Virtual time for the source alone, one frame further at each turn.
        while start.elapsed() < duration {
            self.source.run_round(&mut self.publisher);
            self.publisher.run(Instant::now())?;
            arrived += self.take_round(self.source.packets_per_round() * self.subscribers.len() as u64);
            self.publisher.receive(Instant::now(), &mut self.batch)?;
        }
        let elapsed = start.elapsed();
        self.settle();
        let after = self.counters();
        Ok(ForwardCost {
            arrived,
            cpu: Duration::from_micros(
                after.get("shard_cpu_us").unwrap_or(&0) - before.get("shard_cpu_us").unwrap_or(&0),
            ),
            counters: after
                .into_iter()
                .map(|(name, value)| {
                    (before.get(&name).map_or(value, |old| value.saturating_sub(*old)), name)
                })
                .filter(|(rise, _)| *rise > 0)
                .map(|(rise, name)| (name, rise))
                .collect(),
            elapsed,
        })
    }

    /// Takes datagrams until all of a round are there.
    fn take_round(&mut self, expected: u64) -> u64 {
        let deadline = Instant::now() + FRAME_PATIENCE;
        let mut arrived = 0;
        while arrived < expected && Instant::now() < deadline {
            for subscriber in &self.subscribers {
                arrived += subscriber.discard(&mut self.batch);
            }
        }
        arrived
    }

    fn settle(&mut self) {
        let deadline = Instant::now() + SETTLE;
        while Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
            for subscriber in &self.subscribers {
                subscriber.discard(&mut self.batch);
            }
        }
    }

    fn counters(&self) -> BTreeMap<String, u64> {
        self.engine.counters().into_iter().collect()
    }
}

type MediaKindOfClient = str0m::media::MediaKind;

fn open(engine: &Engine, id: u64, role: TransportRole) -> Result<(), LoadError> {
    let profile = DataProfile {
        sid: format!("PA_{id}").into(),
        identity: format!("load-{id}").into(),
        can_publish_data: false,
        hidden: false,
        agent: false,
    };
    let seed = TransportSeed::build(id.into(), role, engine.transport_options(), Instant::now());
    engine.submit(Command::AddParticipant { room: 1.into(), participant: id.into(), profile })?;
    engine.submit(Command::OpenTransport { participant: id.into(), seed: Box::new(seed) })?;
    Ok(())
}

/// Has the engine answer `offer`.
fn negotiate(engine: &Engine, id: u64, offer: &str, publish: Vec<PublishLine>) -> Result<String, LoadError> {
    let offer = Box::new(RemoteOffer::parse(offer, &CodecPolicy::default())?);
    engine.submit(Command::AcceptOffer { transport: id.into(), request: id.into(), offer, publish })?;
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        for event in engine.drain(usize::MAX) {
            match event {
                Event::Answer { transport, sdp, .. } if transport == id.into() => return Ok(sdp),
                Event::NegotiationFailed { reason, .. } => return Err(LoadError::Refused { reason }),
                _ => {}
            }
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Err(LoadError::Deadline { seconds: PATIENCE.as_secs(), reached: 0, wanted: 1, state: "answered" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_reach_every_subscriber() {
        let cost = measure_forward(3, 4, Duration::from_millis(50)).unwrap();
        assert!(cost.counters["packets_out"] >= 12, "{cost:?}");
        assert!(cost.arrived >= 12, "{cost:?}");
    }

    #[test]
    fn voices_reach_every_subscriber() {
        let cost = measure_voices(2, 5, Duration::from_millis(50)).unwrap();
        assert!(cost.counters["packets_out"] >= 10, "{cost:?}");
        assert!(cost.arrived >= 10, "{cost:?}");
    }
}
