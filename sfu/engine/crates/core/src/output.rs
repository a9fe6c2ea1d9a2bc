//! What a shard hands to the network side. No logic.

use std::net::SocketAddr;

use crate::input::Carrier;

/// One datagram to send.
#[derive(Debug)]
pub struct Transmit {
    /// How to send it.
    pub carrier: Carrier,
    /// Our address to send it from.
    pub source: SocketAddr,
    /// Peer; with TCP it names the connection.
    pub destination: SocketAddr,
    /// Bytes; with TCP without the RFC 4571 length.
    pub contents: str0m::net::DatagramSend,
}
