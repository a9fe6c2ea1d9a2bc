//! How soon somebody who comes late sees something, through a whole shard in virtual time: others have just asked for
//! key frames, so that the throttle of requests is at work.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::time::Duration;

use common::{Camera, FRAME, is_key};
use plenum_core::{MediaKind, RateFeedback, UpTrackId};
use plenum_netem::{ClientId, LinkConfig, Mode, World, WorldConfig};

const MS: Duration = Duration::from_millis(1);
/// Requests for the smallest picture, and for a track with one stream, are no closer than that (`rtc.pli_throttle`).
const LOW_THROTTLE: Duration = Duration::from_millis(500);
/// What negotiation and gathering add: a line must be there first.
const CONNECTING: Duration = Duration::from_millis(100);

/// A publisher so far away, and an audience that is connected already.
struct Hall {
    world: World,
    cameras: Vec<Camera>,
    up: UpTrackId,
    audience: Vec<ClientId>,
    steps: u32,
}

impl Hall {
    fn new(mode: Mode, feedback: RateFeedback, rids: &[&'static str], round_trip: Duration) -> Self {
        let mut world = World::new(WorldConfig { rate_feedback: feedback, ..WorldConfig::default() });
        let alice = world.join_connected(mode);
        let up = world.publish(alice, MediaKind::Video, rids);
        for link in [&mut world.uplinks, &mut world.downlinks] {
            link[alice.0].config = LinkConfig { delay: round_trip / 2, ..LinkConfig::default() };
        }
        let audience = (0..6).map(|_| world.join_connected(mode)).collect();
        let cameras: Vec<Camera> = if rids.is_empty() {
            vec![Camera::new(alice, 0, None)]
        } else {
            rids.iter().map(|rid| Camera::new(alice, 0, Some(rid))).collect()
        };
        let mut hall = Self { world, cameras, up, audience, steps: 0 };
        hall.film_until(3_000, |_| false);
        hall
    }

    /// Films for so long, or until something holds.
    fn film_until(&mut self, limit_ms: u32, mut holds: impl FnMut(&Self) -> bool) -> bool {
        for _ in 0..limit_ms {
            if holds(self) {
                return true;
            }
            if self.steps.is_multiple_of(u32::try_from(FRAME.as_millis()).unwrap()) {
                self.cameras.iter_mut().for_each(|camera| camera.shoot(&mut self.world));
            }
            self.steps += 1;
            self.world.run_for(MS);
        }
        holds(self)
    }

    /// Lets one of the audience subscribe; how long it takes until it sees something.
    fn first_picture(&mut self, person: usize) -> Duration {
        let (client, began) = (self.audience[person], self.world.now);
        self.world.subscribe(client, self.up, MediaKind::Video, "TR_cam");
        let sees = |hall: &Self| {
            let packets = hall.world.clients[client.0].packets_of("TR_cam");
            packets.iter().any(|packet| packet.payload.len() > 100 && is_key(&packet.payload))
        };
        assert!(self.film_until(5_000, sees), "never");
        self.world.now - began
    }
}

#[test]
fn who_comes_late_sees_something_within_half_a_second_and_a_round_trip() {
    for mode in [Mode::Single, Mode::Dual] {
        for feedback in [RateFeedback::TransportWide, RateFeedback::Receiver] {
            for rids in [&[][..], &["q", "h", "f"]] {
                for round_trip in [Duration::ZERO, 50 * MS, 200 * MS] {
                    let mut hall = Hall::new(mode, feedback, rids, round_trip);
                    // One after the other: each comes when the one before has its key frame.
                    let waits: Vec<Duration> = (0..6).map(|person| hall.first_picture(person)).collect();
                    let at_once = round_trip + 2 * FRAME + CONNECTING;
                    let throttled = round_trip.max(LOW_THROTTLE) + FRAME + CONNECTING;
                    let case = format!("{mode:?} {feedback:?} {rids:?} {round_trip:?}: {waits:?}");
                    assert!(waits[0] <= at_once, "{case}");
                    assert!(waits.iter().all(|wait| *wait <= throttled), "{case}");
                    // A stream below that may be asked serves who comes next.
                    let served_at_once = waits[..rids.len().max(1)].iter().filter(|wait| **wait <= at_once);
                    assert!(served_at_once.count() >= rids.len().max(1), "{case}");
                }
            }
        }
    }
}
