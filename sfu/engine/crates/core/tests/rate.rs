//! The rate towards a subscriber: estimation, pacing and probing through a whole shard, over links in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod common;

use std::time::Duration;

use common::{TAG, vp8};
use plenum_core::{Command, DownTrackId, DropReason, MediaKind, RateFeedback, TransportId};
use plenum_netem::{ClientId, LinkConfig, Mode, QueueLimit, World, WorldConfig};

/// Rates of the layers that the publisher has.
const LAYERS_BPS: [u64; 3] = [150_000, 500_000, 1_700_000];
const RIDS: [&str; 3] = ["q", "h", "f"];
const FRAME: Duration = Duration::from_millis(33);
const PACKET_BYTES: usize = 1_100;
/// One stream of the camera.
#[derive(Default)]
struct Stream {
    packets: u32,
    owed_bytes: f64,
    asked: usize,
}

/// A camera and one subscriber.
struct Show {
    world: World,
    alice: ClientId,
    bob: ClientId,
    transport: TransportId,
    down: DownTrackId,
    streams: [Stream; 3],
    /// Which of them arrived last.
    layer: usize,
    changes: usize,
}

/// A link with 20 ms each way and a queue of 300 ms.
fn link(rate_bps: u64, loss: f64) -> LinkConfig {
    LinkConfig {
        delay: Duration::from_millis(20),
        rate_bps: Some(rate_bps),
        queue: QueueLimit::Time(Duration::from_millis(300)),
        loss,
        ..LinkConfig::default()
    }
}

impl Show {
    fn new(mode: Mode, feedback: RateFeedback, down: LinkConfig, seed: u64) -> Self {
        let world = World::new(WorldConfig { seed, rate_feedback: feedback, ..WorldConfig::default() });
        Self::of(world, mode, down)
    }

    fn of(mut world: World, mode: Mode, down: LinkConfig) -> Self {
        let alice = world.join_connected(mode);
        let bob = world.join_connected(mode);
        let camera = world.publish(alice, MediaKind::Video, &RIDS);
        let down_track = world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        world.run_for(Duration::from_secs(1));
        world.uplinks[bob.0].config.delay = Duration::from_millis(20);
        world.downlinks[bob.0].config = down;
        let transport = *world.transports(bob).last().unwrap();
        Self {
            world,
            alice,
            bob,
            transport,
            down: down_track,
            streams: Default::default(),
            layer: LAYERS_BPS.len() - 1,
            changes: 0,
        }
    }

    fn estimate_bps(&self) -> Option<u64> {
        self.world.shard.rate_estimate(self.transport).map(|estimate| estimate.total_bps)
    }

    /// One picture's packets of one stream.
    fn shoot(&mut self, layer: usize, bytes: f64) {
        let (rid, stream) = (RIDS[layer], &mut self.streams[layer]);
        stream.owed_bytes += bytes;
        while stream.owed_bytes >= PACKET_BYTES as f64 {
            stream.owed_bytes -= PACKET_BYTES as f64;
            let requests = &self.world.clients[self.alice.0].key_frame_requests;
            let asked = requests.iter().filter(|(_, _, of)| of.as_deref() == Some(rid)).count();
            let is_key = stream.packets == 0 || asked > stream.asked;
            stream.asked = asked;
            let mut payload = vp8((stream.packets & 0x7fff) as u16, is_key);
            payload[TAG] = layer as u8;
            payload.resize(PACKET_BYTES, 7);
            self.world.send_video(self.alice, 0, Some(rid), stream.packets * 90, &payload);
            stream.packets += 1;
        }
    }

    /// Films for a while. `watch` sees the estimate after every picture.
    fn film(&mut self, length: Duration, mut watch: impl FnMut(&Self)) {
        let end = self.world.now + length;
        while self.world.now < end {
            for (layer, rate_bps) in LAYERS_BPS.iter().enumerate() {
                self.shoot(layer, *rate_bps as f64 / 8.0 * FRAME.as_secs_f64());
            }
            self.world.run_for(FRAME);
            let packets = self.world.clients[self.bob.0].packets_of("TR_cam");
            let last = packets.iter().rev().find(|packet| !packet.payload.is_empty());
            let layer = last.map_or(self.layer, |packet| usize::from(packet.payload[TAG]));
            self.changes += usize::from(layer != self.layer);
            self.layer = layer;
            watch(self);
        }
    }

    fn queued(&self) -> Duration {
        let link = &self.world.downlinks[self.bob.0];
        let rate = link.config.rate_bps.unwrap_or(u64::MAX);
        Duration::from_secs_f64(link.queued_bytes() as f64 * 8.0 / rate as f64)
    }

    fn set_link(&mut self, config: LinkConfig) {
        let now = self.world.now;
        self.world.downlinks[self.bob.0].set_config(now, config);
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn after_ten_seconds_the_estimate_is_the_lesser_of_link_and_wish() {
    for mode in [Mode::Single, Mode::Dual] {
        for (seed, rate) in [(1, 300_000), (2, 700_000), (3, 1_000_000), (4, 3_000_000), (5, 20_000_000)] {
            let mut show = Show::new(mode, RateFeedback::TransportWide, link(rate, 0.0), seed);
            show.film(seconds(10), |_| {});
            let estimate = show.estimate_bps().expect("an estimate");
            let lesser = rate.min(LAYERS_BPS[2]);
            assert!(estimate * 10 > lesser * 8, "{mode:?} {rate}: {estimate}");
            assert!(estimate * 10 < rate * 12, "{mode:?} {rate}: {estimate}");
            // A steady link: at most one change in ten seconds, and no queue worth the name.
            show.changes = 0;
            let mut worst = Duration::ZERO;
            show.film(seconds(20), |show| worst = worst.max(show.queued()));
            assert!(show.changes <= 2, "{mode:?} {rate}: {}", show.changes);
            assert!(worst < Duration::from_millis(200), "{mode:?} {rate}: {worst:?}");
        }
    }
}

#[test]
fn random_loss_without_a_queue_keeps_the_layer() {
    for (seed, loss) in [(1, 0.02), (2, 0.05), (3, 0.1)] {
        let mut show = Show::new(Mode::Single, RateFeedback::TransportWide, link(5_000_000, loss), seed);
        show.film(seconds(10), |_| {});
        let mut least = u64::MAX;
        show.film(seconds(20), |show| least = least.min(show.estimate_bps().unwrap()));
        assert!(least >= LAYERS_BPS[2], "{loss}: {least}");
        assert_eq!(show.layer, 2);
    }
}

#[test]
fn loss_and_delay_that_set_in_without_a_queue_hardly_cost_the_layer() {
    // Of 20 % nobody can tell at once whether less would help: that is tried first.
    for (seed, mode, delay_ms, loss, least) in [
        (1, Mode::Single, 200, 0.0, 99),
        (2, Mode::Dual, 50, 0.1, 99),
        (3, Mode::Single, 0, 0.2, 90),
        (4, Mode::Dual, 200, 0.2, 90),
    ] {
        let mut show = Show::new(mode, RateFeedback::TransportWide, LinkConfig::default(), seed);
        show.film(seconds(12), |_| {});
        let worse = LinkConfig { delay: Duration::from_millis(delay_ms), loss, ..LinkConfig::default() };
        let now = show.world.now;
        show.world.uplinks[show.bob.0].set_config(now, worse);
        show.set_link(worse);
        let (mut pictures, mut best) = (0, 0);
        show.film(seconds(12), |show| {
            pictures += 1;
            best += u32::from(show.layer == 2);
        });
        assert!(best * 100 >= least * pictures, "{mode:?} {delay_ms} ms {loss}: {best} of {pictures}");
    }
}

#[test]
fn a_drop_is_followed_within_two_seconds_and_a_wider_link_found_again() {
    let jittery = |config| LinkConfig { jitter: Duration::from_millis(10), ..config };
    let pair = |loss| (link(3_000_000, loss), link(500_000, loss));
    let shaken = (jittery(pair(0.0).0), jittery(pair(0.0).1));
    for (seed, (wide, narrow)) in [(1, pair(0.0)), (2, pair(0.03)), (4, shaken)] {
        let mut show = Show::new(Mode::Single, RateFeedback::TransportWide, wide, seed);
        show.film(seconds(10), |_| {});
        assert_eq!(show.layer, 2, "{seed}");
        show.set_link(narrow);
        show.film(seconds(2), |_| {});
        let estimate = show.estimate_bps().unwrap();
        assert!((200_000..=600_000).contains(&estimate), "{seed}: {estimate}");
        show.film(seconds(3), |_| {});
        let mut worst = Duration::ZERO;
        show.film(seconds(25), |show| worst = worst.max(show.queued()));
        assert!(worst < Duration::from_millis(200), "{seed}: {worst:?}");
        show.set_link(wide);
        let widened = show.world.now;
        let mut back = None;
        show.film(seconds(30), |show| {
            if show.layer == 2 {
                back.get_or_insert(show.world.now - widened);
            }
        });
        assert!(back.is_some(), "{seed}: {:?}", show.estimate_bps());
        assert_eq!(show.layer, 2, "{seed}");
    }
}

/// How many packets enter the link within any 5 ms, at most, and the longest queue, while a key frame of `bytes` passes.
fn key_frame_burst(show: &mut Show, bytes: f64) -> (u64, Duration) {
    let before = show.world.downlinks[show.bob.0].counters().entered;
    show.shoot(show.layer, bytes);
    let (mut last, mut most, mut queue) = (before, 0, Duration::ZERO);
    for _ in 0..200 {
        show.world.run_for(Duration::from_millis(5));
        let entered = show.world.downlinks[show.bob.0].counters().entered;
        most = most.max(entered - last);
        last = entered;
        queue = queue.max(show.queued());
    }
    (most, queue)
}

/// ADA10.
#[test]
fn key_frames_and_retransmissions_come_in_no_burst_on_a_narrow_link() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut show = Show::new(mode, RateFeedback::TransportWide, link(1_000_000, 0.0), 3);
        show.film(seconds(10), |_| {});
        let full = |show: &Show| show.world.downlinks[show.bob.0].counters().queue_full;
        let before = full(&show);
        // 40 kB: a third of a second at the link's rate, more than its queue takes.
        let (most, _) = key_frame_burst(&mut show, 40_000.0);
        assert!(most <= 4, "{mode:?}: {most} packets in 5 ms");
        assert_eq!(full(&show), before, "{mode:?}");
        // Half of the next one is lost; what is asked for again comes spread, too.
        show.world.downlinks[show.bob.0].config.loss = 0.5;
        show.shoot(show.layer, 20_000.0);
        show.world.run_for(Duration::from_millis(100));
        show.world.downlinks[show.bob.0].config.loss = 0.0;
        let resent = show.world.shard.counters().retransmitted;
        let (most, _) = key_frame_burst(&mut show, 2_000.0);
        assert!(show.world.shard.counters().retransmitted > resent, "{mode:?}");
        assert!(most <= 4, "{mode:?}: {most} packets in 5 ms");
        assert!(show.world.shard.counters().paced > 20, "{mode:?}");
    }
}

#[test]
fn the_last_frames_of_a_track_leave_although_much_waits_before_them() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut show = Show::new(mode, RateFeedback::TransportWide, link(1_000_000, 0.0), 3);
        show.film(seconds(10), |_| {});
        let deep = QueueLimit::Time(seconds(2));
        show.set_link(LinkConfig { queue: deep, ..link(1_000_000, 0.0) });
        show.shoot(show.layer, 90_000.0); // more than leaves within a fifth of a second
        show.world.run_for(Duration::from_millis(20));
        let mid = show.world.clients[show.bob.0].mid_to_track.iter().find(|(_, of)| *of == "TR_cam");
        let mid = mid.expect("its line").0.clone();
        let negotiations = show.world.clients[show.bob.0].negotiations;
        show.world.command(Command::RemoveDownTrack { down_track: show.down });
        show.world.run_for(seconds(5));
        let bob = &show.world.clients[show.bob.0];
        let mut packets: Vec<_> =
            bob.received.iter().filter(|packet| packet.mid == mid && !packet.payload.is_empty()).collect();
        packets.sort_by_key(|packet| packet.seq);
        let sizes: Vec<usize> = packets.iter().rev().map(|packet| packet.payload.len()).take(8).collect();
        assert!(sizes[..6].iter().all(|size| *size < 100), "{mode:?}: {sizes:?}");
        assert_eq!(sizes[6..], [PACKET_BYTES; 2], "{mode:?}: what came before them has left, too");
        assert_eq!(show.world.shard.counters().dropped(DropReason::NotBound), 0, "{mode:?}");
        assert!(bob.negotiations > negotiations, "{mode:?}: the line is free afterwards");
    }
}

#[test]
fn without_estimation_everything_passes_at_once() {
    let mut show = Show::new(Mode::Single, RateFeedback::Off, link(10_000_000, 0.0), 3);
    show.film(seconds(2), |_| {});
    let (most, _) = key_frame_burst(&mut show, 40_000.0);
    assert!(most >= 30, "{most}");
    assert_eq!(show.estimate_bps(), None);
    let counters = show.world.shard.counters();
    assert_eq!((counters.paced, counters.probes, counters.padding_bytes), (0, 0, 0));
    assert!(show.world.clients[show.bob.0].last_description.contains("goog-remb"));
    assert!(!sending_section(&show).contains("transport-wide-cc"));
}

/// The server's description of the line on which it sends.
fn sending_section(show: &Show) -> String {
    let text = &show.world.clients[show.bob.0].last_description;
    let sections = text.split("\r\nm=").filter(|section| section.contains("TR_cam"));
    sections.collect()
}

/// ADA09, as far as descriptions go.
#[test]
fn lines_promise_the_feedback_that_is_used() {
    for mode in [Mode::Single, Mode::Dual] {
        for (feedback, is_wide) in [(RateFeedback::TransportWide, true), (RateFeedback::Receiver, false)] {
            let mut show = Show::new(mode, feedback, link(10_000_000, 0.0), 3);
            let section = sending_section(&show);
            assert!(section.contains("m=video") || section.starts_with("video"), "{section}");
            assert_eq!(section.contains("transport-wide-cc-extensions-01"), is_wide, "{mode:?}: {section}");
            assert_eq!(section.contains(" transport-cc"), is_wide, "{mode:?}: {section}");
            // An offer leaves the choice to the client.
            let has_both = mode == Mode::Dual && is_wide;
            assert_eq!(section.contains(" goog-remb"), !is_wide || has_both, "{mode:?}: {section}");
            show.film(seconds(2), |_| {});
            assert_eq!(show.estimate_bps().is_some(), is_wide, "{mode:?}");
        }
    }
}

/// As some libraries are, and old browsers.
#[test]
fn clients_without_transport_wide_feedback_get_everything_at_once_until_they_say_something() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world =
            World::new(WorldConfig { rate_feedback: RateFeedback::TransportWide, ..WorldConfig::default() });
        world.clients_feedback = RateFeedback::Off;
        let mut show = Show::of(world, mode, link(50_000_000, 0.0));
        show.film(seconds(3), |_| {});
        let (most, _) = key_frame_burst(&mut show, 40_000.0);
        assert!(most >= 30, "{mode:?}: {most}");
        assert_eq!(show.estimate_bps(), None, "{mode:?}");
        let counters = show.world.shard.counters();
        assert_eq!((counters.paced, counters.probes, counters.padding_bytes), (0, 0, 0), "{mode:?}");
        let section = sending_section(&show);
        assert!(section.contains("goog-remb"), "{mode:?}: {section}");
    }
}
