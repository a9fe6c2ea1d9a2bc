//! One thread's world: owns its transports, rooms and tables; never touches a socket or a clock.

use std::time::{Duration, Instant};

use crate::command::Command;
use crate::event::Event;
use crate::input::Datagram;
use crate::output::Transmit;
use crate::stats::Counters;

/// Settings of a shard.
#[derive(Debug, Clone)]
pub struct ShardConfig {
    /// Index of the shard.
    pub index: u16,
    /// Longest time for which media to one subscriber is gathered.
    pub gather: Duration,
    /// RFC 6464 level (−dBov) at or below which a packet counts as active.
    pub audio_active_level: u8,
    /// Interval of `Event::AudioLevels`.
    pub audio_update_interval: Duration,
    /// Least time between two key-frame requests for one stream.
    pub pli_throttle: Duration,
    /// Data messages that one participant may send a second; `None`: no limit.
    pub data_messages_per_s: Option<u32>,
}

/// One thread's world.
#[derive(Debug)]
pub struct Shard {
    _config: ShardConfig,
}

impl Shard {
    /// An empty shard; `seed` feeds every random choice that is not security relevant.
    #[must_use]
    pub fn new(config: ShardConfig, _seed: u64, _now: Instant) -> Self {
        Self { _config: config }
    }

    /// Carries out a command.
    pub fn handle_command(&mut self, _now: Instant, _command: Command) {}

    /// Takes in one datagram: from a validated address, or STUN for one of our ufrags; else it is dropped.
    pub fn handle_datagram(&mut self, _now: Instant, _datagram: Datagram<'_>) {}

    /// The peer's TCP connection is gone.
    pub fn handle_tcp_closed(&mut self, _now: Instant, _peer: std::net::SocketAddr) {}

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When touched transports must run at the latest; `None` when none is touched. A time not after now means: at
    /// the end of this batch (answers to STUN, DTLS and data do not wait).
    #[must_use]
    pub fn flush_deadline(&self) -> Option<Instant> {
        None
    }

    /// Runs every touched transport once; what they send is ready for `poll_transmit`, grouped by destination.
    pub fn flush(&mut self, _now: Instant) {}

    /// Next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        None
    }

    /// Next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// Earliest timer, gathering included.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Totals of this shard.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        static EMPTY: Counters = Counters::new();
        &EMPTY
    }

    /// Closes every transport; one last `flush` and drain sends the close alerts.
    pub fn close(&mut self, _now: Instant) {}
}
