//! What this machine can do: the yardsticks by which figures of different machines are compared, and the engine's own
//! speed without signalling.

mod connect;
mod forward;
mod send;

pub use connect::{ConnectCost, measure_connect};
pub use forward::{ForwardCost, measure_forward, measure_voices};
pub use send::{SendCost, measure_send};
