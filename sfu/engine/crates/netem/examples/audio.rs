//! Cost of audio inside the engine, without sockets: subscribers with many audio tracks beside those with one.
//!
//! `cargo run --release -p plenum-netem --example audio -- [subscribers] [tracks] [frames] [tracks with sound]`
//!
//! Each frame lasts 20 ms; the tracks' packets come spread over it, as they do from different publishers. Reports to
//! publishers and subscribers are made meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    missing_docs
)]

use std::time::Duration;

use plenum_core::{Carrier, Datagram, MediaKind};
use plenum_netem::{Mode, World, WorldConfig};

/// Parts of a frame, each with its own flush: longer than packets are gathered.
const PARTS: usize = 5;
const PART: Duration = Duration::from_millis(4);

fn main() {
    let argument = |position: usize, default: usize| {
        std::env::args().nth(position).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (subscribers, tracks, frames) = (argument(1, 20), argument(2, 100), argument(3, 500));
    let loud = argument(4, tracks);
    let mut world = World::new(WorldConfig::default());
    let publisher = world.join_connected(Mode::Single);
    let mics: Vec<_> = (0..tracks).map(|_| world.publish(publisher, MediaKind::Audio, &[])).collect();
    for _ in 0..subscribers {
        let client = world.join(Mode::Dual);
        for (index, mic) in mics.iter().enumerate() {
            world.subscribe(client, *mic, MediaKind::Audio, &format!("TR_{index}"));
        }
    }
    world.run_for(Duration::from_secs(5));
    let payload = [7; 120];
    let (mut busy, mut out) = (Duration::ZERO, 0_u64);
    for frame in 0..u32::try_from(frames).unwrap() {
        for part in 0..PARTS {
            for line in (0..loud).filter(|line| line % PARTS == part) {
                world.send_audio(publisher, line, frame * 960, &payload);
            }
            let uplink = world.take_uplink();
            let began = cpu_time();
            for (source, payload) in &uplink {
                let (carrier, destination) = (Carrier::Udp, world.server());
                world
                    .shard
                    .handle_datagram(world.now, Datagram { carrier, source: *source, destination, payload });
            }
            world.now += PART;
            world.shard.flush(world.now);
            world.shard.handle_timeout(world.now);
            out += std::hint::black_box(world.shard.transmits()).len() as u64;
            world.shard.transmits().clear();
            busy += cpu_time().saturating_sub(began);
            while world.shard.poll_event().is_some() {}
        }
    }
    println!(
        "{subscribers} subscribers with {tracks} audio tracks, {loud} of them with sound: {out} datagrams, {:.2} µs each",
        busy.as_secs_f64() * 1e6 / out.max(1) as f64
    );
}

/// Time that this thread has had a processor: other programs do not count.
fn cpu_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = statistics.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}
