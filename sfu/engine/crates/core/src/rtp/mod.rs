//! What lies inside an RTP packet: payload descriptors, RED, trailers, the dependency descriptor, sequence and timestamp
//! arithmetic. Parses and writes, keeps no state, never fails louder than with `None`.

pub mod blank;
pub mod codec;
pub mod dependency;
pub mod red;
pub mod seq;
pub mod trailer;

pub use codec::{Codec, PayloadFacts, Vp8Ids};
