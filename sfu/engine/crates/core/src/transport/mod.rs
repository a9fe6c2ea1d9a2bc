//! One ICE + DTLS + SRTP + SCTP association. The only place that knows str0m.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::command::TransportRole;
use crate::ids::TransportId;
use crate::sdp::CodecPolicy;

/// One address of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCandidate {
    /// Bound address; str0m knows the candidate by it.
    pub local: SocketAddr,
    /// Addresses to announce for it (1:1 NAT), in place of the bound one; empty: the bound one.
    pub advertised: Vec<SocketAddr>,
    /// Passive TCP in place of UDP.
    pub tcp: bool,
}

/// What every transport of a server shares.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// Our addresses.
    pub candidates: Vec<LocalCandidate>,
    /// Answer connectivity checks only.
    pub ice_lite: bool,
    /// Packets kept for retransmission per sending video stream.
    pub video_cache_packets: usize,
    /// Unacknowledged data per transport before its data queue grows.
    pub sctp_buffer_bytes: usize,
    /// Codecs of the room.
    pub codecs: CodecPolicy,
}

/// A transport that is built but belongs to no shard yet. Building costs about a millisecond, so it is done on the
/// caller's thread.
#[derive(Debug)]
pub struct TransportSeed {
    /// Its id.
    pub id: TransportId,
    /// Its role.
    pub role: TransportRole,
    _gather: Duration,
}

impl TransportSeed {
    /// Builds the association.
    #[must_use]
    pub fn build(id: TransportId, role: TransportRole, _options: &TransportOptions, _now: Instant) -> Self {
        Self { id, role, _gather: Duration::ZERO }
    }
}
