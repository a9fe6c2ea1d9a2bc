//! Frames of the server's own (`protocol.md` §4.9): a second of silence when an audio track is muted or switched off, so
//! that the receiver has nothing to make up; a fifth of a second of silence or blank pictures when a track ends, so that
//! nothing of it stays. One timer serves all of them.
//!
//! Frames take their numbers from the down track, as packets do. A down track that has ended is in no table any more: it
//! fades, with its line, until its frames are sent and have left: on a narrow link they wait behind what came before. What is forwarded again ends a run of silence at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::Mid;
use str0m::rtp::ExtensionValues;

use super::{Shard, TimerKey, on_grid};
use crate::command::MediaKind;
use crate::demux::TransportIndex;
use crate::ids::TransportId;
use crate::output::Transmits;
use crate::room::{Binding, Blanks, UpEntry};
use crate::rtp::{Codec, blank};
use crate::stats::Counters;
use crate::transport::{DownIndex, OutgoingPacket, Patch, Shape, Transport, UpIndex};

/// Silence after a mute.
const MUTE: Duration = Duration::from_secs(1);
/// Silence or blank pictures at the end of a track.
const CLOSE: Duration = Duration::from_millis(200);
/// How soon to look again whether they have left …
const LEAVING: Duration = Duration::from_millis(20);
/// … and how long to wait for it. The pacer holds nothing for so long.
const LONGEST_LEAVING: Duration = Duration::from_secs(1);

/// A down track that has ended but for its last frames.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) transport: TransportIndex,
    id: TransportId,
    mid: Mid,
    binding: Binding,
    /// When it ends, whatever still waits.
    ends_at: Instant,
}

impl Farewell {
    /// Whether its last frames still wait to leave.
    fn is_leaving(&self, now: Instant, transport: &Transport) -> bool {
        now < self.ends_at
            && transport.is_connected()
            && transport.has_waiting(self.binding.stream, self.binding.ssrc)
    }

    /// When to look at it next.
    fn next_at(&self, now: Instant) -> Instant {
        self.binding.blanks.as_ref().map_or(now + LEAVING, |blanks| blanks.next_at)
    }
}

impl Shard {
    /// The publisher muted or unmuted.
    pub(super) fn mute_up_track(&mut self, now: Instant, index: UpIndex, is_muted: bool) {
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        if std::mem::replace(&mut up.is_muted, is_muted) == is_muted {
            return;
        }
        let downs: Vec<DownIndex> = up.links.iter().map(|link| link.down).collect();
        for down in downs {
            self.silence_down_track(now, down, is_muted);
        }
        self.want_allocations_for(index);
    }

    /// Forwarding to a down track has stopped, or goes on.
    pub(super) fn silence_down_track(&mut self, now: Instant, index: DownIndex, is_silent: bool) {
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        let Some(up) = self.tables.ups.get(down.up) else { return };
        let Some(binding) = down.binding.as_mut() else { return };
        if !is_silent {
            binding.blanks = None;
            return;
        }
        if down.kind != MediaKind::Audio || binding.blanks.is_some() {
            return;
        }
        binding.blanks = blanks(now, up, binding, MUTE);
        if let Some(blanks) = &binding.blanks {
            let at = blanks.next_at;
            self.silenced.push(index);
            self.schedule_blanks(now, at);
        }
    }

    /// The frames with which a down track is to end.
    pub(super) fn last_frames(&self, now: Instant, index: DownIndex) -> Option<Blanks> {
        let down = self.tables.downs.get(index)?;
        blanks(now, self.tables.ups.get(down.up)?, down.binding.as_ref()?, CLOSE)
    }

    /// Sends a removed down track's last frames while its line fades. False: it cannot, there is nobody to get them.
    pub(super) fn fade(
        &mut self,
        now: Instant,
        (down, transport): (DownIndex, TransportIndex),
        binding: Binding,
        last_frames: Blanks,
    ) -> bool {
        let found = self.transports.get_mut(transport).filter(|transport| transport.is_connected());
        let Some((id, mid)) = found.and_then(|found| Some((found.id, found.fade_subscription(down)?))) else {
            return false;
        };
        let at = last_frames.next_at;
        let binding = Binding { blanks: Some(last_frames), ..binding };
        let ends_at = now + CLOSE + LONGEST_LEAVING;
        self.farewells.push(Farewell { transport, id, mid, binding, ends_at });
        self.schedule_blanks(now, at);
        true
    }

    fn schedule_blanks(&mut self, now: Instant, at: Instant) {
        let at = on_grid(self.began, now, at);
        self.timers.schedule(TimerKey::Blanks, at, &mut self.blanks_scheduled);
    }

    /// Sends the frames that are due, on every down track that gets any.
    pub(super) fn send_blanks(&mut self, now: Instant) {
        let mut silenced = std::mem::take(&mut self.silenced);
        silenced.retain(|index| {
            let Some(down) = self.tables.downs.get_mut(*index) else { return false };
            let Some(transport) = self.transports.get_mut(down.transport) else { return false };
            let Some(binding) = down.binding.as_mut() else { return false };
            let outlet = (&mut self.transmits, &mut self.counters);
            let is_left = send_due(now, transport, binding, outlet);
            let at = on_grid(self.began, now, transport.deadline());
            self.timers.schedule(TimerKey::Transport(down.transport), at, &mut transport.scheduled);
            is_left
        });
        let mut farewells = std::mem::take(&mut self.farewells);
        farewells.retain_mut(|farewell| {
            let transport = self.transports.get_mut(farewell.transport);
            let Some(transport) = transport.filter(|transport| transport.id == farewell.id) else {
                return false;
            };
            let outlet = (&mut self.transmits, &mut self.counters);
            let has_more = send_due(now, transport, &mut farewell.binding, outlet);
            let is_left = has_more || farewell.is_leaving(now, transport);
            if !is_left {
                transport.end_fading(now, farewell.mid);
            }
            let at = on_grid(self.began, now, transport.deadline());
            self.timers.schedule(TimerKey::Transport(farewell.transport), at, &mut transport.scheduled);
            is_left
        });
        let of_silenced = silenced.iter().filter_map(|index| self.tables.downs.get(*index)?.binding.as_ref());
        let of_silenced = of_silenced.filter_map(|binding| Some(binding.blanks.as_ref()?.next_at));
        let next = of_silenced.chain(farewells.iter().map(|farewell| farewell.next_at(now))).min();
        (self.silenced, self.farewells) = (silenced, farewells);
        if let Some(at) = next {
            self.schedule_blanks(now, at);
        }
    }
}

/// The frames for a down track, as many as fill `length`. `None`: nothing was sent on it, or its codec has none.
fn blanks(now: Instant, up: &UpEntry, binding: &Binding, length: Duration) -> Option<Blanks> {
    let index = binding.last_format?;
    let format = binding.formats.get(index).copied().flatten()?;
    let codec = match format.shape {
        Shape::Unsupported => return None,
        Shape::Primary => Codec::Opus,
        Shape::Redundant => Codec::Red,
        Shape::Same | Shape::Bare => up.formats.get(index)?.codec,
    };
    let trailer = up.trailer.as_deref().unwrap_or_default();
    let payload: Arc<[u8]> = blank::payload(codec, (None, None), trailer)?.into();
    let frame_time = blank::frame_time(codec);
    let left = u32::try_from((length + frame_time / 2).as_nanos() / frame_time.as_nanos().max(1)).ok()?;
    Some(Blanks { codec, format, payload, trailer: up.trailer.clone(), left, next_at: now, is_first: true })
}

/// Sends the frames of a run that are due. False: none is left.
fn send_due(
    now: Instant,
    transport: &mut Transport,
    binding: &mut Binding,
    (transmits, counters): (&mut Transmits, &mut Counters),
) -> bool {
    let Some(run) = binding.blanks.as_mut().filter(|_| transport.is_connected()) else { return false };
    let Some(mut lane) = transport.lane(now, binding.stream, binding.ssrc) else { return false };
    let values = ExtensionValues::default();
    while run.left > 0 && run.next_at <= now {
        let frame_time = blank::frame_time(run.codec);
        let Some(numbers) = binding.track.insert(run.next_at, frame_time, run.is_first) else { break };
        if run.codec == Codec::Vp8 {
            let ids = (numbers.picture_id, numbers.tl0_pic_idx);
            let trailer = run.trailer.as_deref().unwrap_or_default();
            run.payload = blank::payload(run.codec, ids, trailer).unwrap_or_default().into();
        }
        let patch = match run.format.block_type.filter(|_| run.format.is_red) {
            Some(block_type) => Patch::red_blocks(&run.payload, block_type),
            None => Patch::NONE,
        };
        let packet = OutgoingPacket {
            payload_type: run.format.payload_type,
            resend_type: None,
            marker: run.codec.kind() == MediaKind::Video,
            starts_key_frame: run.codec.kind() == MediaKind::Video,
            seq: numbers.seq,
            timestamp: numbers.timestamp,
            captured_at: run.next_at,
            payload: &run.payload,
            patch,
            values: &values,
            descriptor: None,
        };
        if !lane.send(&packet, transmits, counters) {
            break;
        }
        counters.blanks_out += 1;
        (run.left, run.next_at, run.is_first) = (run.left - 1, run.next_at + frame_time, false);
    }
    lane.finish();
    let is_left = run.left > 0 && run.next_at > now;
    if !is_left {
        binding.blanks = None;
    }
    is_left
}
