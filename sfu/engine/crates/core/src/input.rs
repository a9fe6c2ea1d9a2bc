//! What the network side hands to a shard. No logic.

use std::net::SocketAddr;

/// Carrier of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// UDP.
    Udp,
    /// ICE-TCP, RFC 4571 framing already removed.
    Tcp,
}

/// One datagram as received.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// How it came.
    pub carrier: Carrier,
    /// Peer.
    pub source: SocketAddr,
    /// Our address that it reached (a local candidate's address).
    pub destination: SocketAddr,
    /// Bytes.
    pub payload: &'a [u8],
}
