//! What can end a load run. No logic.

use std::io;

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The command line is not understood.
    #[error(transparent)]
    Arguments(#[from] lexopt::Error),
    /// The URL is none that we can use.
    #[error("the URL must be ws://host:port[/base]")]
    Url,
    /// A socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// The WebSocket failed or was refused.
    #[error("signalling: {0}")]
    Signalling(Box<tungstenite::Error>),
    /// The server sent something that is no `SignalResponse`.
    #[error("signalling: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The server ended the session.
    #[error("the server sent leave with reason {reason}")]
    Left {
        /// `DisconnectReason` as a number.
        reason: i32,
    },
    /// The association refused an SDP or failed.
    #[error("transport: {0}")]
    Transport(#[from] str0m::RtcError),
    /// An SDP did not parse.
    #[error("transport: {0}")]
    Sdp(#[from] str0m::error::SdpError),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] plenum_io::EngineError),
    /// The engine did not take a command.
    #[error(transparent)]
    Submit(#[from] plenum_io::SubmitError),
    /// The engine refused an offer of ours when it parsed it.
    #[error(transparent)]
    Offer(#[from] plenum_core::sdp::SdpError),
    /// The engine refused an offer of ours.
    #[error("the engine refused an offer: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
    /// Not everybody was connected, or not everybody got media, in time.
    #[error("after {seconds} s only {reached} of {wanted} were {state}")]
    Deadline {
        /// How long was waited.
        seconds: u64,
        /// How many got there.
        reached: usize,
        /// How many there are.
        wanted: usize,
        /// Where.
        state: &'static str,
    },
    /// A thread of ours ended by a panic.
    #[error("a load thread has failed")]
    Thread,
}

impl From<tungstenite::Error> for LoadError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Signalling(Box::new(error))
    }
}
