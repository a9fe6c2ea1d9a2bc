//! Settings of all shards. No logic but defaults.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use plenum_core::uptrack::PliThrottle;
use plenum_core::{DataLimits, RateFeedback};

/// Bounds of the ICE-TCP side: what strangers can make us hold.
#[derive(Debug, Clone)]
pub struct TcpLimits {
    /// Connections of all listeners together; further ones take the place of the oldest unproven one, or are closed at
    /// once.
    pub connections: usize,
    /// Connections to whose peer nothing was ever sent, that is, which no transport has accepted yet. The oldest makes
    /// way for a new one: who means it sends its first check at once.
    pub unproven: usize,
    /// The same of one IPv4 address or IPv6 /64.
    pub unproven_per_network: usize,
    /// How long a connection may stay unproven.
    pub unproven_timeout: Duration,
    /// How long a proven connection may be silent (ICE checks come every few seconds).
    pub idle_timeout: Duration,
    /// Bytes that may wait for a peer that does not read.
    pub write_queue_bytes: usize,
}

impl Default for TcpLimits {
    fn default() -> Self {
        Self {
            connections: 8192,
            unproven: 512,
            unproven_per_network: 32,
            unproven_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            write_queue_bytes: 256 * 1024,
        }
    }
}

/// Settings of all shards, fixed for the engine's life.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings")]
pub struct EngineConfig {
    /// Addresses to bind, one host candidate each. Where the first has port 0, all get the one the kernel chose for it.
    pub udp: Vec<SocketAddr>,
    /// Addresses for passive ICE-TCP; port 0 as with `udp`.
    pub tcp: Vec<SocketAddr>,
    /// `(local, public)` pairs of a 1:1 NAT.
    pub advertised: Vec<(IpAddr, IpAddr)>,
    /// Announce the local address beside the public one.
    pub advertise_internal: bool,
    /// Answer connectivity checks only.
    pub ice_lite: bool,
    /// Longest time for which media to one subscriber is gathered.
    pub gather: Duration,
    /// `SO_RCVBUF` and `SO_SNDBUF` asked for.
    pub socket_buffer_bytes: usize,
    /// Packets kept for retransmission per sending video stream.
    pub video_cache_packets: usize,
    /// The same per sending audio stream, where the subscriber gets no redundancy.
    pub audio_cache_packets: usize,
    /// Unacknowledged data per transport before its data queue grows.
    pub sctp_buffer_bytes: usize,
    /// By what the rate towards subscribers is estimated.
    pub rate_feedback: RateFeedback,
    /// About how long a data track's packet may wait for a subscriber; zero: for as long as it takes.
    pub data_track_latency: Duration,
    /// RFC 6464 level (−dBov) at or below which a packet counts as active.
    pub audio_active_level: u8,
    /// Interval of `Event::AudioLevels`.
    pub audio_update_interval: Duration,
    /// Length of the windows by which connections are rated.
    pub quality_interval: Duration,
    /// Least time between two key-frame requests for one stream.
    pub pli_throttle: PliThrottle,
    /// What each participant may send in data.
    pub data_limits: DataLimits,
    /// Opus of publishers without RED gets redundancy for subscribers with it.
    pub adds_redundancy: bool,
    /// Publishers of audio are told of the worst of their subscribers' losses.
    pub reports_subscribers_loss: bool,
    /// Seed of every random choice that is not security relevant; `None`: from the system.
    pub seed: Option<u64>,
    /// Bounds of the ICE-TCP side.
    pub tcp_limits: TcpLimits,
    /// Commands that may wait for a shard.
    pub command_queue: usize,
    /// Events that may wait for the control plane before the policy of the crate's manual sets in.
    pub event_high_water: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            advertised: Vec::new(),
            advertise_internal: false,
            ice_lite: true,
            gather: Duration::from_millis(3),
            socket_buffer_bytes: 8 * 1024 * 1024,
            video_cache_packets: 500,
            audio_cache_packets: 200,
            sctp_buffer_bytes: 2 * 1024 * 1024,
            rate_feedback: RateFeedback::default(),
            data_track_latency: Duration::from_millis(100),
            audio_active_level: 35,
            audio_update_interval: Duration::from_millis(400),
            quality_interval: Duration::from_secs(5),
            pli_throttle: PliThrottle::default(),
            data_limits: DataLimits { messages_per_s: Some(1_000), bytes_per_s: Some(5_000_000) },
            adds_redundancy: false,
            reports_subscribers_loss: true,
            seed: None,
            tcp_limits: TcpLimits::default(),
            command_queue: 16 * 1024,
            event_high_water: 64 * 1024,
        }
    }
}
