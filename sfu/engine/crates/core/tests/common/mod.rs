//! What the integration tests share: payloads and the pace of media.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss
)]

pub mod scene;

use std::time::Duration;

use plenum_core::{Command, DownTrackId, Event};
use plenum_netem::{ClientId, World};

/// Time between two video packets.
pub const FRAME: Duration = Duration::from_millis(33);

/// One VP8 packet: descriptor with a 15-bit picture id, then a frame header whose first bit tells a key frame.
pub fn vp8(picture_id: u16, is_key: bool) -> Vec<u8> {
    let mut payload = vec![0x90, 0x80, 0x80 | (picture_id >> 8) as u8, picture_id as u8];
    payload.extend([u8::from(!is_key), 2, 0, 0x9d, 0x01, 0x2a, 64, 1, 64, 1]);
    payload.resize(200, 0xab);
    payload
}

/// Picture id of a payload from [`vp8`].
pub fn picture_id(payload: &[u8]) -> u16 {
    u16::from(payload[2] & 0x7f) << 8 | u16::from(payload[3])
}

/// Whether a payload from [`vp8`] is a key frame.
pub fn is_key(payload: &[u8]) -> bool {
    payload[4] & 1 == 0
}

/// One H.265 packet: a whole NAL unit, of an IDR picture or of a trailing one (RFC 7798 §1.1.4).
pub fn h265(frame: u16, is_key: bool) -> Vec<u8> {
    let kind: u8 = if is_key { 19 } else { 1 };
    let mut payload = vec![kind << 1, 1, (frame >> 8) as u8, frame as u8];
    payload.resize(200, 0xab);
    payload
}

/// A publisher of VP8 (or H.265) that answers key-frame requests as an encoder does.
pub struct Camera {
    client: ClientId,
    line: usize,
    rid: Option<&'static str>,
    frame: u16,
    answered: usize,
    /// Whether requests are answered.
    pub obeys: bool,
    /// First timestamp.
    pub base: u32,
    /// Marks each payload, at [`TAG`].
    pub tag: u8,
    /// Sends H.265.
    pub is_h265: bool,
}

/// Where a payload carries its camera's tag.
pub const TAG: usize = 100;

impl Camera {
    pub fn new(client: ClientId, line: usize, rid: Option<&'static str>) -> Self {
        Self { client, line, rid, frame: 0, answered: 0, obeys: true, base: 0, tag: 0, is_h265: false }
    }

    /// Sends the next frame; a key frame first and when one was asked for.
    pub fn shoot(&mut self, world: &mut World) {
        let mid = world.clients[self.client.0].lines[self.line].mid.clone();
        let asked = world.clients[self.client.0]
            .key_frame_requests
            .iter()
            .filter(|(_, of, rid)| *of == mid && rid.as_deref() == self.rid)
            .count();
        let is_key = self.frame == 0 || self.obeys && asked > self.answered;
        if is_key {
            self.answered = asked;
        }
        let timestamp = self.base.wrapping_add(u32::from(self.frame) * 2_970);
        let mut payload = if self.is_h265 { h265(self.frame, is_key) } else { vp8(self.frame, is_key) };
        payload[TAG] = self.tag;
        if self.is_h265 {
            world.send_h265(self.client, self.line, self.rid, timestamp, &payload);
        } else {
            world.send_video(self.client, self.line, self.rid, timestamp, &payload);
        }
        self.frame += 1;
    }

    /// Sends that many frames at the usual pace.
    pub fn film(&mut self, world: &mut World, frames: usize) {
        for _ in 0..frames {
            self.shoot(world);
            world.run_for(FRAME);
        }
    }
}

/// Whether a down track was reported as bound.
pub fn is_bound(world: &World, down_track: DownTrackId) -> bool {
    let bound =
        |event: &Event| matches!(event, Event::DownTrackBound { down_track: id, .. } if *id == down_track);
    world.events.iter().any(bound)
}

/// Ends a subscription.
pub fn unsubscribe(world: &mut World, down_track: DownTrackId) {
    world.command(Command::RemoveDownTrack { down_track });
}
