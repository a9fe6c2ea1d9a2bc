//! Cost of forwarding inside the engine, without sockets: one video to N subscribers.
//!
//! `cargo run --release -p plenum-netem --example fanout -- [subscribers] [packets per frame] [frames] [idle tracks]`
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

fn main() {
    let argument = |position: usize, default: usize| {
        std::env::args().nth(position).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (subscribers, burst, frames, idle) =
        (argument(1, 200), argument(2, 8), argument(3, 200), argument(4, 0));
    let mut world = World::new(WorldConfig::default());
    let publisher = world.join_connected(Mode::Single);
    let camera = world.publish(publisher, MediaKind::Video, &[]);
    let mics: Vec<_> = (0..idle).map(|_| world.publish(publisher, MediaKind::Audio, &[])).collect();
    for _ in 0..subscribers {
        let client = world.join(Mode::Dual);
        world.subscribe(client, camera, MediaKind::Video, "TR_cam");
        for (index, mic) in mics.iter().enumerate() {
            world.subscribe(client, *mic, MediaKind::Audio, &format!("TR_{index}"));
        }
    }
    world.run_for(Duration::from_secs(3));
    let mut payload = vec![0x90, 0x80, 0x80, 0, 1, 2, 0, 0x9d, 0x01, 0x2a];
    payload.resize(1_150, 7);
    let mut busy = Duration::ZERO;
    let (mut out, mut batches) = (0_u64, Vec::new());
    for frame in 0..frames {
        for n in 0..burst {
            payload[3] = u8::try_from(frame & 0x7f).unwrap();
            payload[4] = u8::from(frame > 0 || n > 0);
            world.send_video(publisher, 0, None, u32::try_from(frame).unwrap() * 3_000, &payload);
        }
        let uplink = world.take_uplink();
        let now = world.now + Duration::from_millis(3);
        let began = cpu_time();
        for (source, bytes) in &uplink {
            let datagram = Datagram {
                carrier: Carrier::Udp,
                source: *source,
                destination: world.server(),
                payload: bytes,
            };
            world.shard.handle_datagram(world.now, datagram);
        }
        world.shard.flush(now);
        let sent = std::hint::black_box(world.shard.transmits()).len() as u64;
        world.shard.transmits().clear();
        world.shard.handle_timeout(now);
        let elapsed = cpu_time().saturating_sub(began);
        busy += elapsed;
        out += sent;
        batches.push(elapsed.as_secs_f64() * 1e6 / sent.max(1) as f64);
        world.now += Duration::from_millis(33);
    }
    batches.sort_by(f64::total_cmp);
    let median = batches[batches.len() / 2];
    let mean = busy.as_secs_f64() * 1e6 / out as f64;
    println!(
        "{subscribers} subscribers, {burst} packets per frame, {idle} idle tracks each: {out} packets, \
         {mean:.2} µs each (median of frames {median:.2}), {:.0} per second",
        1e6 / median
    );
}

/// Time that this thread has had a processor: other programs do not count.
fn cpu_time() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanos = statistics.split_whitespace().next().and_then(|text| text.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}
