//! The packet engine, sans-IO: it opens no socket, reads no clock, starts no thread and owns no global state.
//!
//! # Manual
//! A [`Shard`] is one thread's world: transports, the rooms they belong to, and the tables by which packets fan out.
//! Whoever drives it (the `io` crate, the simulator, a test) does this, over and over:
//!
//! 1. hand over what arrived: [`Shard::handle_datagram`], [`Shard::handle_command`], each with the current time;
//! 2. at the end of a batch, when [`Shard::flush_deadline`] is due, call [`Shard::flush`]: gathered media is fanned
//!    out, every transport that was touched runs once, and what it wants to send is queued;
//! 3. take everything from [`Shard::transmits`] and [`Shard::poll_event`];
//! 4. sleep until [`Shard::next_timeout`], then call [`Shard::handle_timeout`].
//!
//! Media packets are gathered for a few milliseconds per subscriber, because the kernel sends runs to one destination
//! at half the price. They go past the association: its layers cost more per packet than forwarding does.
//!
//! Errors are for the one who asked; a bad packet is no error but a counted [`DropReason`].
#![forbid(unsafe_code)]
// Tests need some beginning of time; they only ever add to it.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod allocator;
mod allowance;
mod command;
pub mod data;
mod demux;
pub mod downtrack;
mod drop_reason;
pub mod estimator;
mod event;
mod ids;
mod input;
pub mod layers;
mod output;
pub mod pacer;
pub mod prober;
mod quality;
mod random;
pub mod rate;
mod room;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
mod shard;
mod stats;
mod timer;
mod transport;
pub mod uptrack;

pub use command::{Command, DataKind, DataProfile, MediaKind, PublishLine, TransportRole};
pub use data::DataLimits;
pub use drop_reason::DropReason;
pub use event::{AudioLevel, Event, LogLevel, ParticipantQuality, TransportFailure};
pub use ids::{
    DataDownTrackId, DataUpTrackId, DownTrackId, ParticipantId, RequestId, RoomId, TransportId, UpTrackId,
};
pub use input::{Carrier, Datagram};
pub use output::{Path, Transmit, Transmits};
pub use quality::Quality;
pub use rate::{RateEstimate, RateFeedback, RateGoal};
pub use shard::{Shard, ShardConfig};
pub use stats::{Counters, RatingCounts};
pub use transport::{
    Certificate, CertificateError, LocalCandidate, PlayoutLimits, TimeOfDay, TransportOptions, TransportSeed,
};
