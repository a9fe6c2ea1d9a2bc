//! What reaches a whole server: STUN of strangers, header extensions of a publisher.

use std::time::Duration;

use plenum_core::MediaKind;
use plenum_netem::{Mode, RAW_NAMES, World, WorldConfig};

use super::call::{STRANGER, raw_extensions};

/// A key frame of VP8 that says its picture id: where its layers are told, no header extension counts.
const KEY_FRAME: [u8; 8] = [0x90, 0x80, 0x05, 0x00, 0x9d, 0x01, 0x2a, 0x08];
/// Which of a raw client's values is the transport-wide number, and half a round of such numbers.
const TRANSPORT_NUMBER: usize = 6;
const HALF: u16 = 0x8000;
/// More of them would only repeat what was tried.
const MOST_PACKETS: u32 = 100;

/// Header extensions with any values, on sound and pictures: the packets arrive, whatever they are, but for those whose
/// transport-wide numbers lie before the first.
///
/// Three bytes say which line, how the values are cut and how long they are in all.
pub fn rtp_extensions(input: &[u8]) {
    let mut world = World::new(WorldConfig { raw_extensions: true, ..WorldConfig::default() });
    let alice = world.join_connected(Mode::Single);
    let bob = world.join_connected(Mode::Single);
    for (kind, track) in [(MediaKind::Audio, "TR_mic"), (MediaKind::Video, "TR_cam")] {
        let up_track = world.publish(alice, kind, &[]);
        world.subscribe(bob, up_track, kind, track);
    }
    world.run_for(Duration::from_millis(500));
    let (mut rest, mut sent, mut refused, mut is_misnamed) = (input, [0; 2], 0, false);
    let (mut number, mut highest) = (0, None);
    while let [line, cut, length, more @ ..] = rest {
        let (bytes, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        let raw = raw_extensions(*cut, bytes);
        is_misnamed |= raw.0[RAW_NAMES..].iter().any(|name| !name.is_empty());
        // Sound carries none.
        let transport_number = raw.0[TRANSPORT_NUMBER].first_chunk().filter(|_| line & 1 == 1);
        if let Some(next) = transport_number.map(|bytes| u16::from_be_bytes(*bytes)) {
            if highest.is_some_and(|highest| highest < HALF && next > highest + HALF) {
                refused += 1;
            } else {
                highest = highest.max(Some(next));
            }
        }
        world.set_raw_extensions(alice, raw);
        match line & 1 {
            0 => world.send_audio(alice, 0, number * 960, &[7; 20]),
            _ => world.send_video(alice, 1, None, number * 3_000, &KEY_FRAME),
        }
        sent[usize::from(line & 1)] += 1;
        world.run_for(Duration::from_millis(20));
        number += 1;
        if number > MOST_PACKETS {
            break;
        }
    }
    world.run_for(Duration::from_millis(200));
    for (track, sent, refused) in [("TR_mic", sent[0], 0), ("TR_cam", sent[1], refused)] {
        // What is refused may go again by another number. Whoever calls its own packets somebody else's loses them.
        let is_whole = (sent - refused..=sent).contains(&world.clients[bob.0].packets_of(track).len());
        assert!(is_whole || is_misnamed, "{track}");
    }
}

/// STUN of a stranger who knows a transport's name but not its password: it is never answered.
///
/// The first byte says how the transport answers checks; then each two bytes say of which kind a message is, whether it
/// has the name, and how long its attributes are, which follow.
pub fn stun(input: &[u8]) {
    let Some((&first, mut rest)) = input.split_first() else { return };
    let mut world = World::new(WorldConfig { ice_lite: first & 1 == 0, ..WorldConfig::default() });
    let alice = world.join(Mode::Single);
    let answer = &world.clients[alice.0].last_description;
    let ufrag = answer.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
    let name = format!("{}:stranger", ufrag.unwrap_or_else(|| panic!("no name in {answer}")));
    let before = world.shard.counters().datagrams_out;
    while let [kind, length, more @ ..] = rest {
        let (attributes, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        world.inject(STRANGER.into(), &message(*kind, (kind & 2 == 0).then_some(&name), attributes));
    }
    assert_eq!(world.shard.counters().datagrams_out, before, "a stranger was answered");
    // That costs far more than the rest, so that it is not looked at each time.
    if first >> 4 == 0xf {
        let is_connected = |world: &World| !world.clients[alice.0].open_channels.is_empty();
        assert!(world.run_until(Duration::from_secs(20), is_connected), "the stranger has kept her out");
    }
}

/// A STUN message (RFC 8489 §5) of some kind with any attributes behind the name.
fn message(kind: u8, name: Option<&String>, attributes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(name) = name {
        body.extend_from_slice(&[0x00, 0x06, 0x00, name.len().to_le_bytes()[0]]);
        body.extend_from_slice(name.as_bytes());
        body.resize(body.len().next_multiple_of(4), 0);
    }
    body.extend_from_slice(attributes);
    body.resize(body.len().next_multiple_of(4), 0);
    let method: u16 = [0x0001, 0x0011, 0x0101, 0x0111][usize::from(kind >> 2 & 3)];
    let length = u16::try_from(body.len()).unwrap_or_else(|error| panic!("{error}"));
    let head = [method.to_be_bytes(), length.to_be_bytes(), [0x21, 0x12], [0xa4, 0x42]].concat();
    [&head[..], &[kind; 12], &body].concat()
}
