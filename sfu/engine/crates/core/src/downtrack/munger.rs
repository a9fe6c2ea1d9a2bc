//! Rewrites sequence numbers, timestamps, VP8 ids and frame numbers so that the subscriber sees one unbroken stream, whatever
//! streams it is made of. Decides nothing: it is told what passes, begins or is skipped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::frames::FrameNumbers;
use super::picture::PictureIds;
use super::{Packet, Rewrite};
use crate::DropReason;
use crate::layers::StreamIndex;
use crate::rtp::dependency::Layer;
use crate::rtp::seq::{low_32_bits, timestamp_delta};

/// Closed gaps remembered for packets that come late.
const MAX_GAPS: usize = 64;
/// A jump of the sequence number by more than this is no loss but another stream.
const MAX_JUMP: u64 = 3000;
/// How far a timestamp may be from what the clock says before it is not believed.
const TIMESTAMP_TOLERANCE: Duration = Duration::from_secs(3);
/// Shortest step to a new stream whose timestamps say nothing: one frame at 30 per second.
const FRAMES_PER_S: u32 = 30;

/// From this input number on, this offset leads to the output number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Gap {
    from: u64,
    offset: i64,
}

/// Numbers of a frame of the server's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// VP8 picture id, and whether it has 15 bits; `None` when the stream has none.
    pub picture_id: Option<(u16, bool)>,
    /// VP8 TL0PICIDX; `None` when the stream has none.
    pub tl0_pic_idx: Option<u8>,
}

/// The newest packet that was sent.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// Stream it came on; `None` once that stream has begun anew.
    stream: Option<StreamIndex>,
    seq: u64,
    timestamp: u32,
    reference_timestamp: Option<u32>,
    at: Instant,
    /// How much of the timeline it is known to fill.
    ticks: u32,
}

/// Numbers of one outgoing SSRC.
#[derive(Debug)]
pub(super) struct Munger {
    clock_rate_hz: u32,
    first_seq: u64,
    sent: Option<Sent>,
    /// Highest input number of the current stream, sent or skipped.
    highest_in: u64,
    gaps: VecDeque<Gap>,
    timestamp_offset: u32,
    picture_ids: PictureIds,
    frame_numbers: FrameNumbers,
}

impl Munger {
    /// Nothing sent yet; the first packet will have `first_seq`.
    pub(super) fn new(clock_rate_hz: u32, first_seq: u16) -> Self {
        // 0 is left out: one packet may be needed before the first.
        let first_seq = u64::from(first_seq.max(1));
        Self {
            clock_rate_hz,
            first_seq,
            sent: None,
            highest_in: 0,
            gaps: VecDeque::new(),
            timestamp_offset: 0,
            picture_ids: PictureIds::new(),
            frame_numbers: FrameNumbers::default(),
        }
    }

    /// Another rate of the RTP clock.
    pub(super) const fn set_clock_rate_hz(&mut self, clock_rate_hz: u32) {
        self.clock_rate_hz = clock_rate_hz;
    }

    /// Whether a packet cannot belong to the run of numbers seen so far (the publisher's stream began anew).
    pub(super) const fn is_discontinuous(&self, packet: &Packet) -> bool {
        packet.seq.abs_diff(self.highest_in) > MAX_JUMP
    }

    /// The publisher's streams began anew: their timestamps have nothing to do with those before.
    pub(super) const fn forget_streams(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.stream = None;
            sent.reference_timestamp = None;
        }
    }

    /// Begins with a packet of another stream, or of the same one after a pause: it follows what was sent last.
    pub(super) fn begin(&mut self, now: Instant, packet: &Packet) {
        let next = self.sent.map_or(self.first_seq, |sent| sent.seq + 1);
        self.timestamp_offset = match self.sent {
            Some(sent) => self.timestamp_after(&sent, now, packet).wrapping_sub(packet.timestamp),
            None => 0,
        };
        self.gaps.clear();
        self.gaps.push_back(Gap { from: packet.seq, offset: next.cast_signed() - packet.seq.cast_signed() });
        self.highest_in = packet.seq;
        if let Some(ids) = packet.vp8 {
            self.picture_ids.begin(ids);
        }
        if let Some(dependency) = &packet.dependency {
            self.frame_numbers.begin(dependency);
        }
    }

    /// A packet of the current stream is not sent: later ones close up. One that comes late leaves its gap, for what
    /// followed it has gone out already.
    pub(super) fn skip(&mut self, packet: &Packet) {
        if let Some(ids) = packet.vp8 {
            self.picture_ids.skip(ids);
        }
        let Some(last) = self.gaps.back_mut() else { return };
        if packet.seq <= self.highest_in || packet.seq < last.from {
            return;
        }
        let gap = Gap { from: packet.seq + 1, offset: last.offset - 1 };
        self.highest_in = packet.seq;
        if last.from == packet.seq {
            *last = gap;
            return;
        }
        self.gaps.push_back(gap);
        if self.gaps.len() > MAX_GAPS {
            self.gaps.pop_front();
        }
    }

    /// Numbers for a packet of the current stream; `layer` is what the subscriber gets of it.
    pub(super) fn rewrite(
        &mut self,
        now: Instant,
        packet: &Packet,
        layer: Layer,
    ) -> Result<Rewrite, DropReason> {
        let offset = self.offset_of(packet.seq).ok_or(DropReason::TooOld)?;
        let seq = packet.seq.checked_add_signed(offset).ok_or(DropReason::TooOld)?;
        let timestamp = packet.timestamp.wrapping_add(self.timestamp_offset);
        self.highest_in = self.highest_in.max(packet.seq);
        if self.sent.is_none_or(|sent| seq > sent.seq) {
            let reference_timestamp = packet.reference_timestamp;
            let stream = Some(packet.stream);
            self.sent = Some(Sent { stream, seq, timestamp, reference_timestamp, at: now, ticks: 1 });
        }
        let (picture_id, tl0_pic_idx) = packet.vp8.map_or((None, None), |ids| self.picture_ids.rewrite(ids));
        let dependency =
            packet.dependency.as_ref().map(|dependency| self.frame_numbers.rewrite(dependency, layer));
        Ok(Rewrite { seq, timestamp, picture_id, tl0_pic_idx, ends_picture: false, dependency })
    }

    /// Numbers for a frame of the server's own that lasts `frame` and follows what was sent; the next packet is to begin
    /// anew. The first of a run begins where the clock is by now, the others follow each other. `None`: nothing was sent
    /// before, so there is nothing to follow.
    pub(super) fn insert(&mut self, now: Instant, frame: Duration, is_first: bool) -> Option<Inserted> {
        let frame_ticks = self.ticks(frame).max(1);
        let elapsed = self.sent.map(|sent| self.ticks(now.saturating_duration_since(sent.at)))?;
        let sent = self.sent.as_mut()?;
        let frames = if is_first { ((elapsed + frame_ticks / 2) / frame_ticks).max(1) } else { 1 };
        let step = low_32_bits(i128::from(frames * frame_ticks).cast_unsigned());
        sent.seq += 1;
        sent.timestamp = sent.timestamp.wrapping_add(step);
        sent.reference_timestamp = sent.reference_timestamp.map(|before| before.wrapping_add(step));
        sent.at = now;
        sent.ticks = low_32_bits(i128::from(frame_ticks).cast_unsigned());
        let Sent { seq, timestamp, .. } = *sent;
        let (picture_id, tl0_pic_idx) = self.picture_ids.insert();
        Some(Inserted { seq, timestamp, picture_id, tl0_pic_idx })
    }

    /// From an input number to its output number; `None` where there is none any more.
    ///
    /// The numbers just before a gap were skipped, as many as the offset fell by: theirs have been given to what follows.
    /// Should one of them come again as something that may pass, it must not go out under another packet's number, for
    /// SRTP would encrypt two payloads alike (RFC 3711 §9.1).
    fn offset_of(&self, seq: u64) -> Option<i64> {
        let index = self.gaps.iter().rposition(|gap| gap.from <= seq)?;
        let gap = self.gaps[index];
        let Some(next) = self.gaps.get(index + 1) else { return Some(gap.offset) };
        let skipped = (gap.offset - next.offset).unsigned_abs();
        (seq + skipped < next.from).then_some(gap.offset)
    }

    /// Timestamp for the first packet of a run that follows `sent`.
    ///
    /// Best by the sender reports of both streams, else by keeping the offset (the same stream after a pause); either
    /// only if it agrees with the clock. Else by the time that passed. Never the same or an earlier moment.
    fn timestamp_after(&self, sent: &Sent, now: Instant, packet: &Packet) -> u32 {
        let elapsed = self.ticks(now.saturating_duration_since(sent.at));
        let by_reports = match (sent.reference_timestamp, packet.reference_timestamp) {
            (Some(before), Some(after)) => Some(timestamp_delta(before, after)),
            _ => None,
        };
        let by_offset = || {
            let delta = timestamp_delta(sent.timestamp, packet.timestamp.wrapping_add(self.timestamp_offset));
            (sent.stream == Some(packet.stream)).then_some(delta)
        };
        let tolerance = self.ticks(TIMESTAMP_TOLERANCE);
        let is_plausible = |delta: &i32| (i64::from(*delta) - elapsed).abs() <= tolerance;
        let step = by_reports
            .filter(is_plausible)
            .or_else(|| by_offset().filter(is_plausible))
            .map_or(elapsed.max(i64::from(self.clock_rate_hz / FRAMES_PER_S)), i64::from)
            .max(i64::from(sent.ticks));
        sent.timestamp.wrapping_add(low_32_bits(i128::from(step).cast_unsigned()))
    }

    fn ticks(&self, duration: Duration) -> i64 {
        let ticks = duration.as_micros() * u128::from(self.clock_rate_hz) / 1_000_000;
        i64::try_from(ticks).unwrap_or(i64::MAX / 4)
    }
}
