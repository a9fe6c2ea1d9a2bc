//! Threads, sockets, batching and queues round the sans-IO core.
//!
//! # Manual
//! [`Engine::start`] binds every address, then starts one thread per shard. A thread sleeps in `epoll_wait` until a
//! socket is readable, a command waits or the core's next timer is due; then it takes one turn: commands, datagrams
//! (`recvmmsg`), timers, `flush`, datagrams out (`sendmmsg` with GSO runs), events out.
//!
//! Every queue is bounded, and what happens when it is full is written here, once:
//! - **commands** (Python → shard): [`Engine::submit`] answers [`SubmitError::QueueFull`], nothing is lost silently;
//! - **events** (shard → Python): audio levels and lines for the log are dropped and counted (`events_lost`) while the
//!   ring holds more than its high-water mark. All other events are answers to commands or ends of life that the control plane must hear of:
//!   they are kept, and the shard takes no command until the ring was drained, so that their number is bounded by what
//!   was asked for;
//! - **the kernel's send buffer**: what does not fit is dropped and counted (`send_buffer_full`); a shard never waits;
//! - **a TCP peer that does not read**: whole datagrams are dropped and counted (`tcp_queue_full`).
//!
//! This crate decides nothing about rooms, tracks or packets. It holds all `unsafe` of the engine, in `sys`.

mod batch;
mod config;
mod counters;
mod driver;
mod engine;
mod error;
mod event_ring;
mod link;
mod log;
mod sys;
mod tcp;
mod udp;

/// Sockets, devices and batching for programs beside the engine (load client, benchmarks, link emulator).
pub mod net {
    pub use crate::batch::{MAX_RUN_BYTES, MAX_RUN_SEGMENTS, Run, plan_runs};
    pub use crate::sys::{Interest, Poller, Readiness, ReceiveBatch, Tun, WakeFd, thread_cpu};
    pub use crate::udp::{SendOutcome, UdpPort};
}

pub use config::{EngineConfig, TcpLimits};
pub use engine::Engine;
pub use error::{EngineError, SubmitError};
