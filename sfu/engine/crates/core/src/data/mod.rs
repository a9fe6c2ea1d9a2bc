//! Data packets: reading and restamping the `livekit.DataPacket` envelope, duplicate filters, what a sender may send,
//! bounded queues, what can be sent again. Data tracks: their packets' header, which frames pass, how much may wait.
//!
//! The envelope is patched on the wire level: fields that the server owns are rewritten, everything else, unknown
//! fields included, is copied as it is. Never touches a channel or a participant table.

mod budget;
mod envelope;
mod filter;
mod pace;
mod queue;
mod replay;
mod restamp;
mod schema;
mod track;
mod wire;

pub use budget::{DataLimits, SendBudget};
pub use envelope::{Content, Destinations, Envelope, Lookup};
pub use filter::{NonceRing, SequenceFilter};
pub use pace::ChannelPace;
pub use queue::{DataQueue, Pushed};
pub use replay::{KEPT, Returned, SentRing};
pub use restamp::{Restamped, restamp, wrap_raw};
pub use track::{FrameGate, TrackHeader, set_handle};

/// Largest message taken or sent, in bytes (`protocol.md` §2.9).
pub const MAX_MESSAGE_BYTES: usize = 65_535;
