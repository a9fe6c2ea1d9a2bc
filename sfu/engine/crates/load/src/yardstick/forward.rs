//! The engine's own speed: one publisher to many subscribers through a real [`Engine`] (threads, sockets, GSO), as fast
//! as it takes frames. Nothing but its own CPU time limits it; subscribers take their datagrams without opening them.

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
use crate::publisher::{Publisher, VIDEO_TRACK};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const PATIENCE: Duration = Duration::from_secs(30);
/// After that long, missing datagrams of a frame count as lost.
const FRAME_PATIENCE: Duration = Duration::from_millis(100);
/// The engine publishes its counters ten times a second.
const SETTLE: Duration = Duration::from_millis(250);
/// Pace of the frames before the measurement.
const FIRST_FRAMES_INTERVAL: Duration = Duration::from_millis(50);
const UP_TRACK: u64 = 1;
const PUBLISHER: u64 = 1;
const FIRST_SUBSCRIBER: u64 = 100;

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
    let mut bench = Bench::start(packets_per_frame)?;
    for number in 0..subscribers {
        bench.add_subscriber(number)?;
    }
    bench.connect()?;
    bench.run(packets_per_frame, duration)
}

struct Bench {
    engine: Engine,
    publisher: Association,
    source: Publisher,
    subscribers: Vec<Association>,
    batch: ReceiveBatch,
}

impl Bench {
    fn start(packets_per_frame: u32) -> Result<Self, LoadError> {
        let config = EngineConfig { udp: vec![SocketAddr::new(LOOPBACK, 0)], ..EngineConfig::default() };
        let engine = Engine::start(&config)?;
        // One frame per call: the clock plays no role, only the size does.
        let fps = 1000;
        let video_bps = u64::from(packets_per_frame) * 1150 * 8 * u64::from(fps);
        let source = Publisher::new(&Arguments { video_bps, fps, ..Arguments::default() });
        let mut publisher = Association::new(LOOPBACK, Instant::now())?;
        let line = NewLine { kind: MediaKindOfClient::Video, track: Some(VIDEO_TRACK) };
        let offer = publisher.offer(&[line], false).unwrap_or_default();
        let mid = publisher.mid_of(VIDEO_TRACK).map(|mid| mid.to_string()).unwrap_or_default();
        let publish = PublishLine {
            mid: mid.into(),
            up_track: UP_TRACK.into(),
            codec: None,
            dtx: false,
            stereo: false,
            red: false,
            speaker: false,
            muted: false,
            trailer: None,
        };
        open(&engine, PUBLISHER, TransportRole::Publisher)?;
        let answer = negotiate(&engine, PUBLISHER, &offer, vec![publish])?;
        publisher.take_answer(&answer)?;
        Ok(Self { engine, publisher, source, subscribers: Vec::new(), batch: ReceiveBatch::new() })
    }

    fn add_subscriber(&mut self, number: u64) -> Result<(), LoadError> {
        let id = FIRST_SUBSCRIBER + number;
        let mut association = Association::new(LOOPBACK, Instant::now())?;
        let line = NewLine { kind: MediaKindOfClient::Video, track: None };
        let offer = association.offer(&[line], false).unwrap_or_default();
        open(&self.engine, id, TransportRole::Both)?;
        self.engine.submit(Command::AddDownTrack {
            down_track: id.into(),
            transport: id.into(),
            up_track: UP_TRACK.into(),
            kind: MediaKind::Video,
            stream_id: "PA_1|TR_1".into(),
            track_sid: "TR_1".into(),
            stereo: false,
            enabled: true,
        })?;
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
                self.source.run_frame(&mut self.publisher, now);
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

    fn run(&mut self, packets_per_frame: u32, duration: Duration) -> Result<ForwardCost, LoadError> {
        self.settle();
        let before = self.counters();
        let start = Instant::now();
        let mut arrived = 0;
        // Virtual time for the source alone, one frame further at each turn.
        while start.elapsed() < duration {
            self.source.run_frame(&mut self.publisher, Instant::now());
            self.publisher.run(Instant::now())?;
            arrived += self.take_frame(u64::from(packets_per_frame) * self.subscribers.len() as u64);
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

    /// Takes datagrams until all of a frame are there.
    fn take_frame(&mut self, expected: u64) -> u64 {
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
}
