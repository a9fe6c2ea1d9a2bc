//! What goes with a packet besides its payload, through a whole shard in virtual time: capture times, the playout
//! delay of a room, packet trailers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use std::time::{Duration, SystemTime};

use common::{Camera, FRAME, vp8};
use plenum_core::{Command, DownTrackId, MediaKind, PlayoutLimits, UpTrackId};
use plenum_netem::{ClientId, Mode, World, WorldConfig};

/// As the engine's shard has it in [`World`]: it began at that time of day.
const START: SystemTime = SystemTime::UNIX_EPOCH;

#[test]
fn capture_times_are_told_on_the_servers_clock() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let began = world.now;
        let (alice, bob) = (world.join_connected(mode), world.join_connected(mode));
        let camera = world.publish(alice, MediaKind::Video, &[]);
        world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        world.run_for(Duration::from_secs(1));
        world.capture_time = Some(START + Duration::from_secs(40 * 365 * 24 * 3_600));
        let mut filming = Camera::new(alice, 0, None);
        filming.film(&mut world, 300);
        let packets = world.clients[bob.0].packets_of("TR_cam");
        let captures: Vec<_> = packets
            .iter()
            .filter_map(|packet| packet.extensions.abs_capture_time.as_ref().map(|capture| (packet, capture)))
            .collect();
        assert!(captures.len() > 50, "{mode:?}: {} of {}", captures.len(), packets.len());
        for (packet, capture) in &captures {
            let arrived = START + packet.at.duration_since(began);
            let age = arrived.duration_since(capture.capture_time).expect("captured before it arrived");
            assert!(age < Duration::from_secs(6), "{age:?}");
            assert_eq!(capture.clock_offset, None, "it is on our clock: there is no offset to tell");
        }
    }
}

#[test]
fn a_rooms_playout_delay_is_told_until_it_is_known_and_now_and_then() {
    let limits = PlayoutLimits::new(Duration::from_millis(300), Duration::from_millis(500));
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig { playout: Some(limits), ..WorldConfig::default() });
        let (alice, bob) = (world.join_connected(mode), world.join_connected(mode));
        let camera = world.publish(alice, MediaKind::Video, &[]);
        world.subscribe(bob, camera, MediaKind::Video, "TR_cam");
        world.run_for(Duration::from_secs(1));
        Camera::new(alice, 0, None).film(&mut world, 600);
        let packets = world.clients[bob.0].packets_of("TR_cam");
        let told = packets.iter().map(|packet| {
            let hundredths = |delay: Option<str0m::media::MediaTime>| delay.map(|delay| delay.numer());
            let values = &packet.extensions;
            hundredths(values.play_delay_min).zip(hundredths(values.play_delay_max))
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told.first(), Some(&Some((30, 50))), "{mode:?}");
        let silent = told.iter().position(Option::is_none).unwrap();
        assert!(silent < told.len() / 2, "{mode:?}: known");
        let reminders: Vec<_> = (silent..told.len()).filter(|index| told[*index].is_some()).collect();
        assert!(
            reminders.windows(2).all(|pair| pair[1] - pair[0] >= 29),
            "{mode:?}, of thirty a second: {reminders:?}"
        );
        assert!(reminders.len() > 10, "{mode:?}: {reminders:?}");
    }
}

#[test]
fn trailers_are_cut_off_for_those_who_do_not_know_them() {
    for mode in [Mode::Single, Mode::Dual] {
        let mut world = World::new(WorldConfig::default());
        let alice = world.join_connected(mode);
        let camera = world.publish(alice, MediaKind::Video, &[]);
        let knowing = subscriber(&mut world, mode, camera, "TR_known", false);
        let others = [0, 1].map(|_| subscriber(&mut world, mode, camera, "TR_unknown", true));
        world.run_for(Duration::from_secs(1));
        let trailer = [&[0xfd, 0xfb, 0xff, 0xff, 0xff, 0xf8, 0xf4][..], b"LKTS"].concat();
        for frame in 0..60 {
            let bare = vp8(frame, frame % 20 == 0);
            world.send_video(alice, 0, None, u32::from(frame) * 2_970, &[&bare[..], &trailer].concat());
            world.run_for(FRAME);
        }
        let length = vp8(0, false).len();
        for (client, track, expected) in [
            (knowing, "TR_known", length + trailer.len()),
            (others[0], "TR_unknown", length),
            (others[1], "TR_unknown", length),
        ] {
            let packets = world.clients[client.0].packets_of(track);
            assert!(packets.len() > 30, "{mode:?} {track}: {}", packets.len());
            assert!(packets.iter().all(|packet| packet.payload.len() == expected), "{mode:?} {track}");
            assert_eq!(packets[0].payload.ends_with(b"LKTS"), client == knowing);
        }
    }
}

fn subscriber(
    world: &mut World,
    mode: Mode,
    up_track: UpTrackId,
    track: &str,
    strip_trailer: bool,
) -> ClientId {
    let client = world.join_connected(mode);
    let down_track = DownTrackId(world.fresh_id());
    let transport = *world.transports(client).last().expect("a transport");
    world.command(Command::AddDownTrack {
        down_track,
        transport,
        up_track,
        kind: MediaKind::Video,
        stream_id: format!("PA_x|{track}").into(),
        track_sid: track.into(),
        stereo: false,
        enabled: true,
        strip_trailer,
    });
    client
}
