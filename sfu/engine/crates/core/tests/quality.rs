//! How connections are rated: real WebRTC clients in virtual time, on links that lose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use std::time::Duration;

use common::{Camera, FRAME};
use plenum_core::{
    Command, DownTrackId, Event, MediaKind, ParticipantId, ParticipantQuality, Quality, RatingCounts, RoomId,
    UpTrackId,
};
use plenum_netem::{ClientId, Mode, World, WorldConfig};

use Quality::{Excellent, Good, Lost, Poor};

const ROOM: RoomId = RoomId(1);
const PACKET: Duration = Duration::from_millis(20);

/// A call in which Alice speaks (line 0) and Bob listens.
struct Call {
    world: World,
    alice: ClientId,
    bob: ClientId,
    voice: UpTrackId,
    down: DownTrackId,
    packets: u32,
}

impl Call {
    fn new(mode: Mode) -> Self {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(mode);
        let bob = world.join_connected(mode);
        let voice = world.publish(alice, MediaKind::Audio, &[]);
        let down = world.subscribe(bob, voice, MediaKind::Audio, "TR_mic");
        world.run_for(Duration::from_secs(1));
        Self { world, alice, bob, voice, down, packets: 0 }
    }

    /// Alice speaks for so long.
    fn speak(&mut self, seconds: u32) {
        for _ in 0..seconds * 50 {
            self.world.send_audio(self.alice, 0, self.packets * 960, &[7; 60]);
            self.packets += 1;
            self.world.run_for(PACKET);
        }
    }

    /// Nobody speaks for so long.
    fn pause(&mut self, seconds: u64) {
        self.world.run_for(Duration::from_secs(seconds));
    }

    /// What became of the participants since the last call, in order.
    fn changes(&mut self) -> Vec<(ParticipantId, Quality)> {
        changes(&mut self.world).into_iter().map(|change| (change.participant, change.quality)).collect()
    }

    fn ratings(&self) -> &RatingCounts {
        &self.world.shard.counters().ratings
    }
}

fn changes(world: &mut World) -> Vec<ParticipantQuality> {
    let told = |event: Event| match event {
        Event::QualityChanged { room, changed } => {
            assert!(room == ROOM && !changed.is_empty());
            Some(changed)
        }
        _ => None,
    };
    std::mem::take(&mut world.events).into_iter().filter_map(told).flatten().collect()
}

fn who(client: ClientId) -> ParticipantId {
    World::participant(client)
}

#[test]
fn a_good_call_is_never_spoken_of() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut call = Call::new(mode);
        call.speak(31);
        assert_eq!(call.changes(), [], "{mode:?}");
        assert_eq!(call.ratings().by_quality, [0, 0, 0, 12], "{mode:?}: six windows of two participants");
        assert_eq!(call.ratings().by_score[9], 12);
        assert_eq!(call.ratings().score_sum_milli, 12 * 4_500);
    }
}

#[test]
fn losses_are_of_the_side_on_which_they_happen() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut call = Call::new(mode);
        call.speak(6);
        call.world.downlinks[call.bob.0].config.loss = 0.2;
        call.speak(12);
        let bob = who(call.bob);
        let told = call.changes();
        assert!(told.iter().all(|(participant, _)| *participant == bob), "{mode:?}: {told:?}");
        assert_eq!(told.last(), Some(&(bob, Poor)), "{mode:?}: {told:?}");

        call.world.downlinks[call.bob.0].config.loss = 0.0;
        call.speak(35);
        assert_eq!(call.changes(), [(bob, Good), (bob, Excellent)], "{mode:?}");

        call.world.uplinks[call.alice.0].config.loss = 0.2;
        call.speak(12);
        let alice = who(call.alice);
        let told = call.changes();
        assert!(told.iter().all(|(participant, _)| *participant == alice), "{mode:?}: {told:?}");
        assert_eq!(told.last(), Some(&(alice, Poor)), "{mode:?}");
    }
}

#[test]
fn a_dead_line_is_lost_before_it_is_removed_and_found_again() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut call = Call::new(mode);
        call.speak(6);
        for link in [&mut call.world.uplinks[call.bob.0], &mut call.world.downlinks[call.bob.0]] {
            link.schedule_blackout(call.world.now, Duration::from_millis(13_500));
        }
        let failed = |event: &Event| matches!(event, Event::TransportFailed { .. });
        call.speak(13);
        assert!(!call.world.events.iter().any(failed), "{mode:?}");
        assert_eq!(call.changes().last(), Some(&(who(call.bob), Lost)), "{mode:?}");
        call.speak(40);
        assert_eq!(call.changes().last(), Some(&(who(call.bob), Excellent)), "{mode:?}");
    }
}

#[test]
fn a_publisher_that_falls_silent_is_lost_and_one_that_sends_nothing_poor() {
    let mut call = Call::new(Mode::Single);
    call.speak(6);
    call.pause(10);
    assert_eq!(call.changes(), [(who(call.alice), Poor)], "its line is alive");
    call.speak(16);
    assert_eq!(call.changes(), [(who(call.alice), Good), (who(call.alice), Excellent)]);
    call.world.uplinks[call.alice.0].config.loss = 1.0;
    call.speak(11);
    assert_eq!(call.changes(), [(who(call.alice), Lost)]);
}

#[test]
fn what_is_muted_is_not_judged() {
    let mut call = Call::new(Mode::Single);
    call.speak(6);
    call.world.command(Command::MuteUpTrack { up_track: call.voice, muted: true });
    call.pause(20);
    call.world.command(Command::MuteUpTrack { up_track: call.voice, muted: false });
    call.speak(10);
    assert_eq!(call.changes(), []);
    call.world.command(Command::EnableDownTrack { down_track: call.down, enabled: false });
    call.world.downlinks[call.bob.0].config.loss = 0.5;
    call.speak(10);
    assert_eq!(call.changes(), [], "nothing is sent to it");
}

#[test]
fn who_has_no_media_any_more_is_excellent_and_rated_no_more() {
    let mut call = Call::new(Mode::Single);
    call.world.downlinks[call.bob.0].config.loss = 0.3;
    call.speak(11);
    let bob = who(call.bob);
    assert_eq!(call.changes().last(), Some(&(bob, Poor)));
    call.world.command(Command::CloseUpTrack { up_track: call.voice });
    call.pause(6);
    assert_eq!(call.changes(), [(bob, Excellent)]);
    let rated = call.ratings().by_quality;
    call.pause(60);
    assert_eq!(call.ratings().by_quality, rated);
    call.world.downlinks[call.bob.0].config.loss = 0.0;
    let again = call.world.publish(call.alice, MediaKind::Audio, &[]);
    call.world.subscribe(call.bob, again, MediaKind::Audio, "TR_again");
    call.pause(1);
    for packet in 0..600 {
        call.world.send_audio(call.alice, 1, packet * 960, &[7; 60]);
        call.world.run_for(PACKET);
    }
    assert_ne!(call.ratings().by_quality, rated, "the room has media again");
}

/// Three streams of one camera.
fn film(world: &mut World, cameras: &mut [Camera], frames: usize) {
    for _ in 0..frames {
        for camera in &mut *cameras {
            camera.shoot(world);
        }
        world.run_for(FRAME);
    }
}

#[test]
fn a_layer_that_stays_away_is_the_publishers_trouble_when_somebody_wants_it() {
    let mut world = World::new(WorldConfig::default());
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    let video = world.publish(alice, MediaKind::Video, &["q", "h", "f"]);
    let mut cameras = ["q", "h", "f"].map(|rid| Camera::new(alice, 0, Some(rid)));
    film(&mut world, &mut cameras, 400);
    assert_eq!(changes(&mut world), [], "nobody watches");
    let down = world.subscribe(bob, video, MediaKind::Video, "TR_cam");
    film(&mut world, &mut cameras, 600);
    assert_eq!(changes(&mut world), []);
    // The largest is gone.
    film(&mut world, &mut cameras[..2], 600);
    let told = changes(&mut world);
    assert!(told.iter().all(|change| change.participant == who(alice)), "{told:?}");
    assert_eq!(told.last().map(|change| change.quality), Some(Good));
    // Nobody wants it any more.
    world.command(Command::SetDownTrackLayers { down_track: down, max_spatial: 1, max_fps: 0 });
    film(&mut world, &mut cameras[..2], 900);
    let told = changes(&mut world);
    assert_eq!(told.last().map(|change| change.quality), Some(Excellent));
    assert!(told.iter().all(|change| (1.0..=4.5).contains(&change.score)));
}
