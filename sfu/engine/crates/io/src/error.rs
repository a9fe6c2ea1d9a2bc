//! What can go wrong at the engine's edge. No logic.

use std::io;
use std::net::SocketAddr;

/// The engine could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Neither a UDP nor a TCP address was given.
    #[error("no address to listen on")]
    NoAddress,
    /// A candidate needs an address that a peer can send to.
    #[error("{address} is a wildcard; give the addresses of the interfaces to use")]
    Wildcard {
        /// As configured.
        address: SocketAddr,
    },
    /// Binding failed: taken, not ours, or not permitted.
    #[error("cannot bind {protocol} {address}: {cause}")]
    Bind {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// As configured; the port is the one that was tried.
        address: SocketAddr,
        /// The kernel's answer.
        cause: io::Error,
    },
    /// No certificate for DTLS.
    #[error(transparent)]
    Certificate(#[from] plenum_core::CertificateError),
    /// A thread or a kernel object could not be made.
    #[error("cannot start a shard: {0}")]
    Start(#[from] io::Error),
}

/// A command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The shard is overloaded or stuck.
    #[error("the command queue is full")]
    QueueFull,
    /// The engine was stopped.
    #[error("the engine is stopped")]
    Stopped,
}
