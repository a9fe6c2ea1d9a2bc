//! A whole call with one hostile participant: whatever she sends, in payloads, header extensions, messages and datagrams, the engine lives and a third participant is still heard.

use std::net::SocketAddr;
use std::time::Duration;

use plenum_core::MediaKind;
use plenum_netem::{ClientId, Mode, RAW_EXTENSIONS, RAW_NAMES, RawExtensions, World, WorldConfig};

pub(super) const STRANGER: ([u8; 4], u16) = ([203, 0, 113, 66], 6_666);
/// Less than after which a participant who says nothing is gone.
const LONGEST: Duration = Duration::from_secs(8);

struct Call {
    world: World,
    hostile: ClientId,
    bob: ClientId,
    carol: ClientId,
    timestamp: u32,
}

/// Two bytes say what she does, and with what of the rest.
pub fn call(input: &[u8]) {
    let mut call = Call::begin();
    let end = call.world.now + LONGEST;
    let mut rest = input;
    while let [operation, argument, more @ ..] = rest {
        let length = if operation & 1 == 0 { 0 } else { usize::from(*argument).min(more.len()) };
        let (bytes, after) = more.split_at(length);
        rest = after;
        call.attack(*operation, *argument, bytes);
        if call.world.now >= end {
            break;
        }
    }
    call.check();
}

impl Call {
    fn begin() -> Self {
        let mut world = World::new(WorldConfig { raw_extensions: true, ..WorldConfig::default() });
        let hostile = world.join_connected(Mode::Single);
        let bob = world.join_connected(Mode::Single);
        let carol = world.join_connected(Mode::Single);
        for (client, kind, track) in [
            (hostile, MediaKind::Audio, "TR_mic"),
            (hostile, MediaKind::Video, "TR_cam"),
            (carol, MediaKind::Audio, "TR_carol"),
        ] {
            let up_track = world.publish(client, kind, &[]);
            world.subscribe(bob, up_track, kind, track);
        }
        world.run_for(Duration::from_millis(500));
        Self { world, hostile, bob, carol, timestamp: 0 }
    }

    fn attack(&mut self, operation: u8, argument: u8, bytes: &[u8]) {
        self.timestamp = self.timestamp.wrapping_add(u32::from(argument) << 4);
        let (world, hostile) = (&mut self.world, self.hostile);
        match operation >> 1 & 15 {
            0..=2 => world.send_video(hostile, 1, None, self.timestamp, bytes),
            3 => world.send_red(hostile, 0, self.timestamp, bytes),
            4 => world.send_audio(hostile, 0, self.timestamp, bytes),
            5 | 6 => {
                let label = ["_reliable", "_lossy", "_data_track"][usize::from(operation >> 5) % 3];
                let _ = world.send_message(hostile, label, bytes);
            }
            7 => world.set_raw_extensions(hostile, raw_extensions(argument, bytes)),
            8 => world.inject(world.address(hostile, 0), bytes),
            9 => world.inject(SocketAddr::from(STRANGER), bytes),
            10 => {
                world.send_audio(hostile, 0, self.timestamp, &[5; 30]);
                self.damage_what_is_under_way(operation >> 5, argument);
            }
            11 => self.damage_what_is_under_way(operation >> 5, argument),
            12 => world.request_key_frame(hostile, "TR_carol"),
            _ => world.run_for(Duration::from_millis(u64::from(argument) * 4)),
        }
    }

    /// Changes a byte of everything that she has sent and that has not arrived.
    fn damage_what_is_under_way(&mut self, change: u8, position: u8) {
        let address = self.world.address(self.hostile, 0);
        for (source, mut payload) in self.world.take_uplink() {
            if source == address {
                let length = payload.len().max(1);
                if let Some(byte) = payload.get_mut(usize::from(position) % length) {
                    *byte ^= 1 << change;
                }
            }
            self.world.inject(source, &payload);
        }
    }

    fn check(&mut self) {
        self.world.run_for(Duration::from_millis(100));
        let heard = |world: &World| world.clients[self.bob.0].packets_of("TR_carol").len();
        let before = heard(&self.world);
        for number in 0..5 {
            self.world.send_audio(self.carol, 0, number * 960, &[7; 40]);
            self.world.run_for(Duration::from_millis(20));
        }
        self.world.run_for(Duration::from_millis(50));
        assert_eq!(heard(&self.world) - before, 5, "the others no longer hear each other");
        assert_eq!(self.world.shard.counters().inconsistent_tables, 0);
    }
}

/// The first byte says where the bytes are cut into values.
pub(super) fn raw_extensions(cut: u8, bytes: &[u8]) -> RawExtensions {
    let mut raw = RawExtensions::default();
    let mut rest = bytes;
    for index in 0..RAW_EXTENSIONS {
        // Names are seldom wrong, and short: else nothing of the packet would count.
        let length = match index {
            3 => usize::from(cut >> 2),
            RAW_NAMES.. => usize::from(cut == 0xff),
            5 => usize::from(cut & 3),
            6 => usize::from(cut >> 1 & 3),
            _ => usize::from(cut & 3) * 4 + index,
        };
        let (value, after) = rest.split_at(length.min(rest.len()));
        raw.0[index] = value.to_vec();
        rest = after;
    }
    raw
}
