//! Whole rooms in virtual time: a [`World`] holds one real [`plenum_core::Shard`], clients that are real WebRTC stacks,
//! and emulated links between them. Nothing sleeps, no socket is opened; the same seed gives the same run.
//!
//! A [`Client`] behaves like an SDK as far as the engine can tell: it offers and answers, adds the lines it is asked
//! for, opens the data channels. Tests tell it what to publish and read what arrived.
//!
//! This crate is for tests and benchmarks: it panics where a test should fail.
#![allow(clippy::missing_panics_doc, clippy::expect_used, clippy::unwrap_used)]

mod client;
mod link;
mod raw;
mod receiving;
mod repeating;
mod world;

pub use client::{Client, MediaLine, Mode, Received};
pub use link::{Arrival, JitterShape, Link, LinkConfig, LinkCounters, Packet, QueueLimit, Verdict};
pub use raw::{RAW_EXTENSIONS, RAW_NAMES, RawExtensions};
pub use world::{Carried, ClientId, World, WorldConfig};
