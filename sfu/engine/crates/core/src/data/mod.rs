//! Data packets: reading and restamping the `livekit.DataPacket` envelope, duplicate filters, what a sender may send,
//! bounded queues, what can be sent again.
//!
//! The envelope is patched on the wire level: fields that the server owns are rewritten, everything else, unknown
//! fields included, is copied as it is. Never touches a channel or a participant table.

mod budget;
mod envelope;
mod filter;
mod queue;
mod replay;
mod restamp;
mod schema;
mod wire;

pub use budget::{DataLimits, SendBudget};
pub use envelope::{Content, Destinations, Envelope, Lookup};
pub use filter::{NonceRing, SequenceFilter};
pub use queue::{DataQueue, Pushed};
pub use replay::{KEPT, Returned, SentRing};
pub use restamp::{Restamped, restamp, wrap_raw};

/// Largest message taken or sent, in bytes (`protocol.md` §2.9).
pub const MAX_MESSAGE_BYTES: usize = 65_535;
