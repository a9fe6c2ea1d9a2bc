//! Data track packets: the header, and which frames a subscription gets (`protocol.md` §2.11). Reads nothing behind the
//! header, so that encrypted frames pass as they are; never touches a channel or a table.
//!
//! A frame travels in one or more packets, which the channel may reorder or lose. Half a frame is of no use, so that it
//! is decided once for each frame whether a subscription gets it, at the first packet seen of it.

use std::time::{Duration, Instant};

use crate::drop_reason::DropReason;

/// Bytes of the header without extensions.
const HEADER_BYTES: usize = 12;
/// Unit in which the area of the extensions is counted.
const EXTENSION_WORD_BYTES: usize = 4;
/// The only version that there is: of another one the handle may be elsewhere.
const VERSION: u8 = 0;
const HANDLE: std::ops::Range<usize> = 2..4;
/// Frames whose packets may interleave, those of earlier ones being late.
const DECISIONS: usize = 4;

/// What forwarding needs of a packet's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrackHeader {
    /// The track at the sender of the packet; never 0.
    pub handle: u16,
    /// Which frame it is of; wraps.
    pub frame: u16,
    /// First packet of its frame.
    pub starts_frame: bool,
}

impl TrackHeader {
    /// Reads the header of a whole packet.
    ///
    /// # Errors
    /// [`DropReason::MalformedDataTrack`]: too short for its header and extensions, another version, handle 0.
    pub fn parse(packet: &[u8]) -> Result<Self, DropReason> {
        const MALFORMED: DropReason = DropReason::MalformedDataTrack;
        let (header, rest) = packet.split_first_chunk::<HEADER_BYTES>().ok_or(MALFORMED)?;
        let [flags, _, handle_high, handle_low, _, _, frame_high, frame_low, ..] = *header;
        let handle = u16::from_be_bytes([handle_high, handle_low]);
        if flags >> 5 != VERSION || handle == 0 {
            return Err(MALFORMED);
        }
        if flags & 0b0000_0100 != 0 {
            let words = u16::from_be_bytes(*rest.first_chunk().ok_or(MALFORMED)?);
            if rest.len() < (usize::from(words) + 1) * EXTENSION_WORD_BYTES {
                return Err(MALFORMED);
            }
        }
        let frame = u16::from_be_bytes([frame_high, frame_low]);
        Ok(Self { handle, frame, starts_frame: flags & 0b0001_0000 != 0 })
    }
}

/// Puts another handle into a packet that [`TrackHeader::parse`] has accepted.
pub fn set_handle(packet: &mut [u8], handle: u16) {
    if let Some(field) = packet.get_mut(HANDLE) {
        field.copy_from_slice(&handle.to_be_bytes());
    }
}

#[derive(Debug, Clone, Copy)]
struct Decision {
    frame: u16,
    has_started: bool,
    verdict: Result<(), DropReason>,
}

/// Decides which frames one subscription gets.
#[derive(Debug, Default)]
pub struct FrameGate {
    decisions: [Option<Decision>; DECISIONS],
    oldest: usize,
    /// Least time between two frames, on average.
    interval: Option<Duration>,
    due: Option<Instant>,
}

impl FrameGate {
    /// Lets through all frames, or about that many a second.
    #[must_use]
    pub fn new(frames_per_s: Option<u32>) -> Self {
        let mut gate = Self::default();
        gate.set_rate(frames_per_s);
        gate
    }

    /// Changes the rate for the frames to come; `None` or 0: all.
    pub fn set_rate(&mut self, frames_per_s: Option<u32>) {
        self.interval = frames_per_s.filter(|rate| *rate > 0).map(|rate| Duration::from_secs(1) / rate);
        self.due = None;
    }

    /// Whether a packet passes; `may_begin` is asked when a frame that its rate allows begins.
    ///
    /// # Errors
    /// Why it is dropped, with its whole frame.
    pub fn admit(
        &mut self,
        now: Instant,
        header: &TrackHeader,
        may_begin: impl FnOnce() -> Result<(), DropReason>,
    ) -> Result<(), DropReason> {
        if let Some(decision) = self.decision_on(header.frame) {
            // A second beginning is another frame under the same number: decided anew.
            if !(header.starts_frame && decision.has_started) {
                decision.has_started |= header.starts_frame;
                return decision.verdict;
            }
        }
        let verdict = self.decide(now, may_begin);
        let decision = Decision { frame: header.frame, has_started: header.starts_frame, verdict };
        match self.decision_on(header.frame) {
            Some(earlier) => *earlier = decision,
            None => self.remember(decision),
        }
        verdict
    }

    /// What is left of a frame is dropped, too: a part of it could not be sent.
    pub fn abandon(&mut self, frame: u16, reason: DropReason) {
        if let Some(decision) = self.decision_on(frame) {
            decision.verdict = Err(reason);
        }
    }

    fn decision_on(&mut self, frame: u16) -> Option<&mut Decision> {
        self.decisions.iter_mut().flatten().find(|decision| decision.frame == frame)
    }

    fn remember(&mut self, decision: Decision) {
        if let Some(place) = self.decisions.get_mut(self.oldest) {
            *place = Some(decision);
        }
        self.oldest = (self.oldest + 1) % DECISIONS;
    }

    /// Frames keep to a grid of due times, half an interval early at most: neither jitter nor a rate that is no whole
    /// part of the publisher's changes the average.
    fn decide(
        &mut self,
        now: Instant,
        may_begin: impl FnOnce() -> Result<(), DropReason>,
    ) -> Result<(), DropReason> {
        let Some(interval) = self.interval else { return may_begin() };
        let early = now + interval / 2;
        let due = self.due.unwrap_or(now);
        if early < due {
            return Err(DropReason::DataTrackRate);
        }
        may_begin()?;
        let grid = if early.duration_since(due) < interval { due } else { now };
        self.due = Some(grid + interval);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S and F set, handle 0x0102, sequence 3, frame 4, timestamp 5, then the payload.
    const PACKET: [u8; 14] = [0x18, 0, 1, 2, 0, 3, 0, 4, 0, 0, 0, 5, 0xaa, 0xbb];

    fn packet(frame: u16, starts_frame: bool) -> TrackHeader {
        TrackHeader { handle: 1, frame, starts_frame }
    }

    type Verdict = Result<(), DropReason>;

    const CONGESTED: Verdict = Err(DropReason::DataTrackCongested);

    fn says(verdict: Verdict) -> impl FnOnce() -> Verdict {
        move || verdict
    }

    #[test]
    fn the_header_is_read_and_its_handle_alone_rewritten() {
        let mut packet = PACKET;
        assert_eq!(
            TrackHeader::parse(&packet),
            Ok(TrackHeader { handle: 0x0102, frame: 4, starts_frame: true })
        );
        set_handle(&mut packet, 0xfffe);
        assert_eq!(TrackHeader::parse(&packet).map(|header| header.handle), Ok(0xfffe));
        packet[HANDLE].copy_from_slice(&PACKET[HANDLE]);
        assert_eq!(packet, PACKET);
    }

    #[test]
    fn extensions_must_fit() {
        let with = |flags: u8, rest: &[u8]| {
            let mut bytes = PACKET[..HEADER_BYTES].to_vec();
            bytes[0] = flags;
            bytes.extend_from_slice(rest);
            TrackHeader::parse(&bytes).is_ok()
        };
        assert!(with(0x00, &[]) && with(0x04, &[0, 0, 0, 0]) && with(0x04, &[0, 1, 1, 2, 9, 9, 0, 0]));
        assert!(!with(0x04, &[]) && !with(0x04, &[0]) && !with(0x04, &[0, 0, 0]));
        assert!(!with(0x04, &[0, 1, 1, 2, 9, 9, 0]) && !with(0x04, &[0xff; 64]));
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        for length in 0..HEADER_BYTES {
            assert_eq!(TrackHeader::parse(&PACKET[..length]), Err(DropReason::MalformedDataTrack));
        }
        let mut other_version = PACKET;
        other_version[0] |= 0x20;
        assert!(TrackHeader::parse(&other_version).is_err());
        let mut no_handle = PACKET;
        set_handle(&mut no_handle, 0);
        assert!(TrackHeader::parse(&no_handle).is_err());
        set_handle(&mut no_handle[..3], 7); // shorter than any packet: untouched
        assert_eq!(no_handle[2..4], [0, 0]);
    }

    #[test]
    fn a_frame_passes_or_falls_as_a_whole() {
        let (now, mut gate) = (Instant::now(), FrameGate::new(None));
        assert!(gate.admit(now, &packet(1, true), says(Ok(()))).is_ok());
        assert!(gate.admit(now, &packet(1, false), says(CONGESTED)).is_ok());
        assert!(gate.admit(now, &packet(2, true), says(CONGESTED)).is_err());
        assert!(gate.admit(now, &packet(2, false), says(Ok(()))).is_err());
        // Late packets of either fare as theirs did; the first packet seen decides, whichever it is.
        assert!(gate.admit(now, &packet(1, false), says(CONGESTED)).is_ok());
        assert!(gate.admit(now, &packet(3, false), says(CONGESTED)).is_err());
        assert!(gate.admit(now, &packet(3, true), says(Ok(()))).is_err());
    }

    #[test]
    fn a_number_that_begins_again_is_another_frame() {
        let (now, mut gate) = (Instant::now(), FrameGate::new(None));
        for verdict in [Ok(()), CONGESTED, Ok(())] {
            assert_eq!(gate.admit(now, &packet(7, true), says(verdict)), verdict);
            assert_eq!(gate.admit(now, &packet(7, false), || unreachable!()), verdict);
        }
    }

    #[test]
    fn an_abandoned_frame_goes_no_further() {
        let (now, mut gate) = (Instant::now(), FrameGate::new(None));
        assert!(gate.admit(now, &packet(1, true), says(Ok(()))).is_ok());
        gate.abandon(1, DropReason::DataTrackCongested);
        gate.abandon(99, DropReason::DataTrackCongested);
        assert_eq!(gate.admit(now, &packet(1, false), says(Ok(()))), CONGESTED);
        assert!(gate.admit(now, &packet(2, true), says(Ok(()))).is_ok());
    }

    /// Frames that pass in ten seconds of a publisher's `source` frames a second, each up to `jitter_ms` late.
    fn passed(source: u32, target: Option<u32>, jitter_ms: u64) -> u32 {
        let (began, mut gate) = (Instant::now(), FrameGate::new(target));
        let frames = 0..source * 10;
        frames.fold(0, |count, frame| {
            let late = Duration::from_millis(u64::from(frame.wrapping_mul(7919)) % (jitter_ms + 1));
            let at = began + Duration::from_secs(1) * frame / source + late;
            #[expect(clippy::cast_possible_truncation, reason = "as on the wire")]
            let verdict = gate.admit(at, &packet(frame as u16, true), says(Ok(())));
            count + u32::from(verdict.is_ok())
        })
    }

    #[test]
    fn the_rate_is_kept_whatever_the_source() {
        assert_eq!(passed(30, None, 20), 300);
        assert_eq!(passed(30, Some(0), 20), 300);
        assert_eq!(passed(30, Some(60), 0), 300);
        for (source, target, jitter_ms) in
            [(30, 30, 10), (30, 15, 10), (30, 10, 10), (30, 20, 5), (100, 7, 3)]
        {
            let count = passed(source, Some(target), jitter_ms);
            assert!(count.abs_diff(target * 10) <= 1, "{source} fps to {target}: {count}");
        }
    }

    #[test]
    fn a_frame_that_falls_for_another_reason_does_not_use_up_the_rate() {
        let (now, mut gate) = (Instant::now(), FrameGate::new(Some(1)));
        assert_eq!(gate.admit(now, &packet(1, true), says(CONGESTED)), CONGESTED);
        assert!(gate.admit(now, &packet(2, true), says(Ok(()))).is_ok());
        assert_eq!(gate.admit(now, &packet(3, true), says(Ok(()))), Err(DropReason::DataTrackRate));
        gate.set_rate(None);
        assert!(gate.admit(now, &packet(4, true), says(Ok(()))).is_ok());
    }
}
