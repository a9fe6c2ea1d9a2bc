//! Load client for servers that speak the LiveKit protocol: joins by real signalling, publishes and subscribes with
//! real ICE, DTLS, SRTP and SCTP, decodes nothing, counts everything.
//!
//! # Manual
//! [`run`] starts a few threads, each with its share of the participants and one poller over all their sockets. It
//! reports by lines of JSON, so that a driver can read the server's CPU time at the right moments: `joined` when all are
//! connected, `measuring` when the media of all has begun, `result` at the end.
//!
//! Nothing here is part of the server. Binaries: `plenum-load` and `plenum-yardstick`.

mod args;
mod association;
mod error;
mod participant;
mod publisher;
mod run;
mod signal;
mod tally;
mod token;
mod wire;
mod worker;
pub mod yardstick;

pub use args::{Arguments, JoinMode};
pub use error::LoadError;
pub use run::run;
