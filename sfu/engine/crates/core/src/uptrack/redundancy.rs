//! Redundancy of one audio track (RFC 2198): lost packets found again in those that follow, and redundancy made for a
//! publisher that sends none. Done once per packet, whatever the number of subscribers. Never sees a down track.
//!
//! [`Recovery`] remembers which of the latest sequence numbers have been seen, so that each one is passed on once: a
//! packet that comes after it has been recovered is late, and one that is too old to be known about is late too.

use std::sync::Arc;

use crate::rtp::red::{self, MAX_TIMESTAMP_OFFSET, RedundantBlock};
use crate::rtp::seq::timestamp_delta;

/// Sequence numbers that are remembered.
const WINDOW: u64 = 64;
const PLACES: usize = 64;
/// A packet that is older by more than this belongs to another run of numbers.
const MAX_JUMP: u64 = 3_000;
/// Redundant blocks of one packet that are looked at, the newest ones; senders put in one to three.
const MAX_BLOCKS: usize = 4;
/// Redundant blocks in the packets that we make (`protocol.md` §4.8).
const MADE_BLOCKS: usize = 2;
/// Older packets than that are not repeated, whatever their timestamps say.
const MADE_DISTANCE: u64 = 4;
/// Largest RED payload that we make: with headers it fits the smallest path that WebRTC counts on.
const MAX_MADE_BYTES: usize = 1_100;

/// What has become of one sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Fate {
    #[default]
    Missing,
    Padding,
    /// Passed on, as it came or as it was recovered.
    Seen(u32),
}

/// How a packet relates to what was passed on before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is new.
    Fresh,
    /// It has been recovered already, or nobody knows any more.
    Late,
}

/// A packet that never came, found in a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered<'a> {
    /// Its extended sequence number.
    pub seq: u64,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its payload.
    pub payload: &'a [u8],
}

/// Which sequence numbers of a stream have been seen.
#[derive(Debug)]
pub struct Recovery {
    fates: [Fate; PLACES],
    /// First and highest number seen; none before the first packet.
    seen: Option<(u64, u64)>,
}

impl Default for Recovery {
    fn default() -> Self {
        Self { fates: [Fate::Missing; PLACES], seen: None }
    }
}

impl Recovery {
    /// The stream begins anew, or went on unseen: nothing from before is recovered.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Notes a packet; `payload` is empty for padding.
    pub fn arrive(&mut self, seq: u64, timestamp: u32, payload: &[u8]) -> Arrival {
        self.advance_to(seq);
        let Some(fate) = self.fate_mut(seq) else { return Arrival::Late };
        let is_late = matches!(fate, Fate::Seen(_));
        if !is_late {
            *fate = if payload.is_empty() { Fate::Padding } else { Fate::Seen(timestamp) };
        }
        if is_late { Arrival::Late } else { Arrival::Fresh }
    }

    /// Finds packets that are missing in the redundancy of a RED packet that has just arrived; oldest first.
    pub fn recover<'a>(&mut self, seq: u64, timestamp: u32, payload: &'a [u8]) -> Vec<Recovered<'a>> {
        let mut newest = [None; MAX_BLOCKS];
        for block in red::redundant_blocks(payload).filter(|block| !block.payload.is_empty()) {
            newest.rotate_right(1);
            newest[0] = Some(block);
        }
        let mut found = Vec::new(); // allocates only when something was lost
        let mut below = seq;
        for RedundantBlock { timestamp_offset, payload } in newest.into_iter().flatten() {
            let timestamp = timestamp.wrapping_sub(timestamp_offset.into());
            if timestamp_offset == 0 || self.has_seen(timestamp) {
                continue;
            }
            let Some(seq) = self.place_of(timestamp, below) else { continue };
            if let Some(fate) = self.fate_mut(seq) {
                *fate = Fate::Seen(timestamp);
            }
            below = seq;
            found.push(Recovered { seq, timestamp, payload });
        }
        found.reverse();
        found
    }

    /// The highest missing number below `below` that this timestamp can have: it lies between those of its neighbours.
    fn place_of(&self, timestamp: u32, below: u64) -> Option<u64> {
        let (first, highest) = self.seen?;
        let lowest = first.max(highest.saturating_sub(WINDOW - 1));
        let is_newer = |other: u32| timestamp_delta(timestamp, other) > 0;
        let mut place = None;
        for seq in (lowest..below).rev() {
            match self.fate(seq) {
                Fate::Missing => place = place.or(Some(seq)),
                Fate::Padding => {}
                Fate::Seen(other) if is_newer(other) => place = None,
                Fate::Seen(_) => return place,
            }
        }
        place.filter(|_| lowest > first) // the neighbour before it is out of the window, and before the first is none
    }

    fn has_seen(&self, timestamp: u32) -> bool {
        self.fates.contains(&Fate::Seen(timestamp))
    }

    fn advance_to(&mut self, seq: u64) {
        let (first, highest) = match self.seen {
            Some((first, highest)) if seq.saturating_add(MAX_JUMP) >= highest => (first, highest),
            _ => {
                self.forget();
                (seq, seq)
            }
        };
        for passed in (highest + 1..=seq).rev().take(self.fates.len()) {
            self.fates[place(passed)] = Fate::Missing;
        }
        self.seen = Some((first, highest.max(seq)));
    }

    fn fate(&self, seq: u64) -> Fate {
        self.fates[place(seq)]
    }

    /// `None`: too old to be known.
    fn fate_mut(&mut self, seq: u64) -> Option<&mut Fate> {
        let (_, highest) = self.seen?;
        (seq + WINDOW > highest).then(|| &mut self.fates[place(seq)])
    }
}

const fn place(seq: u64) -> usize {
    (seq % WINDOW) as usize
}

#[derive(Debug, Clone)]
struct Sent {
    seq: u64,
    timestamp: u32,
    payload: Arc<[u8]>,
}

/// Makes RED out of Opus: each packet repeats the two before it.
#[derive(Debug, Default)]
pub struct Redundancy {
    /// The newest ones, oldest first.
    latest: [Option<Sent>; MADE_BLOCKS],
}

impl Redundancy {
    /// The stream begins anew, or went on unseen: nothing from before is repeated.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// RED for one packet; its blocks are of `payload_type`. One that comes late goes out alone and is not repeated.
    pub fn encode(&mut self, payload_type: u8, seq: u64, timestamp: u32, payload: &Arc<[u8]>) -> Arc<[u8]> {
        let is_newest = self.latest.iter().flatten().all(|before| before.seq < seq);
        let mut room = MAX_MADE_BYTES.saturating_sub(payload.len());
        let mut blocks: [Option<RedundantBlock<'_>>; MADE_BLOCKS] = [None; MADE_BLOCKS];
        // The newest are worth most when there is no room for all.
        for (place, before) in blocks.iter_mut().zip(&self.latest).rev() {
            let block =
                before.as_ref().filter(|_| is_newest).and_then(|before| before.block_for(seq, timestamp));
            *place = block.filter(|block| block.payload.len() <= room);
            room -= place.map_or(0, |block| block.payload.len());
        }
        let mut given = [RedundantBlock { timestamp_offset: 0, payload: &[][..] }; MADE_BLOCKS];
        let mut count = 0;
        for (place, block) in given.iter_mut().zip(blocks.into_iter().flatten()) {
            *place = block;
            count += 1;
        }
        let mut made = Vec::with_capacity(MAX_MADE_BYTES.max(payload.len()) + 16);
        red::write(&mut made, payload_type, &given[..count], payload);
        if is_newest {
            self.latest.rotate_left(1);
            self.latest[MADE_BLOCKS - 1] = Some(Sent { seq, timestamp, payload: Arc::clone(payload) });
        }
        made.into()
    }
}

impl Sent {
    /// Itself as a block of a later packet; `None`: too old for that.
    fn block_for(&self, seq: u64, timestamp: u32) -> Option<RedundantBlock<'_>> {
        let is_near = seq <= self.seq.saturating_add(MADE_DISTANCE);
        let offset = u16::try_from(timestamp_delta(self.timestamp, timestamp)).ok();
        let timestamp_offset =
            offset.filter(|offset| is_near && (1..=MAX_TIMESTAMP_OFFSET).contains(offset))?;
        Some(RedundantBlock { timestamp_offset, payload: &self.payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: u32 = 960;

    fn payload(number: u64) -> Vec<u8> {
        vec![u8::try_from(number % 251).unwrap(); 20]
    }

    fn timestamp(number: u64) -> u32 {
        u32::try_from(number).unwrap().wrapping_mul(FRAME).wrapping_sub(5_000)
    }

    /// RED of a frame with its two predecessors.
    fn red(number: u64) -> Vec<u8> {
        let older: Vec<_> = (1..=2).rev().filter(|back| *back <= number).collect();
        let payloads: Vec<_> = older.iter().map(|back| payload(number - back)).collect();
        let block = |(back, payload)| RedundantBlock { timestamp_offset: 960 * back, payload };
        let backs = older.iter().map(|back| u16::try_from(*back).unwrap());
        let blocks: Vec<_> = backs.zip(payloads.iter().map(|payload| &payload[..])).map(block).collect();
        let mut out = Vec::new();
        red::write(&mut out, 111, &blocks, &payload(number));
        out
    }

    /// Sends frames in this order, with sequence numbers from 1,000; gives what is passed on: numbers.
    fn pass(recovery: &mut Recovery, frames: &[u64]) -> Vec<u64> {
        let mut passed = Vec::new();
        for &number in frames {
            let seq = 1_000 + number;
            let arrival = recovery.arrive(seq, timestamp(number), &red(number));
            let bytes = red(number);
            for found in recovery.recover(seq, timestamp(number), &bytes) {
                assert_eq!(found.timestamp, timestamp(found.seq - 1_000));
                assert_eq!(found.payload, payload(found.seq - 1_000));
                passed.push(found.seq - 1_000);
            }
            if arrival == Arrival::Fresh {
                passed.push(number);
            }
        }
        passed
    }

    #[test]
    fn what_was_lost_comes_back_in_order_and_once() {
        for (frames, expected) in [
            (&[0, 1, 2, 3][..], &[0, 1, 2, 3][..]),
            (&[0, 2, 3], &[0, 1, 2, 3]),
            (&[0, 3, 4], &[0, 1, 2, 3, 4]),
            (&[0, 4, 5], &[0, 2, 3, 4, 5]),
            (&[0, 2, 1, 3], &[0, 1, 2, 3]),
            (&[0, 3, 1, 2, 4], &[0, 1, 2, 3, 4]),
            (&[0, 4, 3, 2, 1, 5], &[0, 2, 3, 4, 1, 5]),
            (&[5, 6], &[5, 6]),
            (&[5, 4, 6], &[5, 4, 6]),
            (&[0, 1, 1, 2], &[0, 1, 2]),
            (&[0, 100, 101], &[0, 98, 99, 100, 101]),
            (&[0, 100, 20, 101], &[0, 98, 99, 100, 101]),
        ] {
            assert_eq!(pass(&mut Recovery::default(), frames), expected, "{frames:?}");
        }
    }

    #[test]
    fn padding_between_frames_takes_no_frame_s_place() {
        let mut recovery = Recovery::default();
        let frame = |recovery: &mut Recovery, seq, number| {
            let bytes = red(number);
            assert_eq!(recovery.arrive(seq, timestamp(number), &bytes), Arrival::Fresh);
            let found = recovery.recover(seq, timestamp(number), &bytes);
            found.iter().map(|found| (found.seq, found.timestamp)).collect::<Vec<_>>()
        };
        assert_eq!(frame(&mut recovery, 10, 0), []);
        // 11 is lost padding, 12 is padding, 13 is the next frame: nothing of sound was lost.
        recovery.arrive(12, timestamp(0), &[]);
        assert_eq!(frame(&mut recovery, 13, 1), []);
        // 14 is a lost frame, 15 padding.
        recovery.arrive(15, timestamp(2), &[]);
        assert_eq!(frame(&mut recovery, 16, 3), [(14, timestamp(2))]);
    }

    #[test]
    fn nothing_from_before_the_beginning_is_recovered() {
        let mut recovery = Recovery::default();
        assert_eq!(pass(&mut recovery, &[10, 11]), [10, 11]);
        recovery.forget();
        assert_eq!(pass(&mut recovery, &[13, 15]), [13, 14, 15]);
    }

    #[test]
    fn a_block_that_fits_nowhere_is_left_out() {
        let mut recovery = Recovery::default();
        assert_eq!(pass(&mut recovery, &[0, 1]), [0, 1]);
        let old = payload(9);
        for timestamp_offset in [0, 960, 3_000, 1_000] {
            let mut bytes = Vec::new();
            red::write(&mut bytes, 111, &[RedundantBlock { timestamp_offset, payload: &old }], &payload(2));
            assert_eq!(recovery.recover(1_002, timestamp(2), &bytes), [], "offset {timestamp_offset}");
            recovery.arrive(1_002, timestamp(2), &bytes);
        }
    }

    #[test]
    fn another_run_of_numbers_begins_anew() {
        let mut recovery = Recovery::default();
        let bytes = red(0);
        assert_eq!(recovery.arrive(60_000, 0, &bytes), Arrival::Fresh);
        assert_eq!(recovery.arrive(59_000, 0, &bytes), Arrival::Late, "too old to be known");
        assert_eq!(recovery.arrive(20, 0, &bytes), Arrival::Fresh, "another run");
        assert_eq!(recovery.arrive(u64::from(u32::MAX), 0, &bytes), Arrival::Fresh, "any jump ahead");
    }

    #[test]
    fn made_redundancy_is_found_again() {
        let (mut made, mut recovery) = (Redundancy::default(), Recovery::default());
        let mut passed = Vec::new();
        for number in 0..100 {
            let frame: Arc<[u8]> = payload(number).into();
            let bytes = made.encode(111, number, timestamp(number), &frame);
            assert_eq!(red::primary(&bytes), Some(&frame[..]));
            if number % 3 != 0 {
                recovery.arrive(number, timestamp(number), &bytes);
                let found = recovery.recover(number, timestamp(number), &bytes);
                assert!(found.iter().all(|found| found.payload == payload(found.seq)));
                passed.extend(found.iter().map(|found| found.seq));
                passed.push(number);
            }
        }
        assert_eq!(passed, (1..99).collect::<Vec<_>>());
    }

    #[test]
    fn redundancy_keeps_to_its_bounds() {
        let blocks = |bytes: &[u8]| {
            red::redundant_blocks(bytes).map(|block| block.timestamp_offset).collect::<Vec<_>>()
        };
        let frame = |bytes: usize| -> Arc<[u8]> { vec![1; bytes].into() };
        let mut made = Redundancy::default();
        assert_eq!(blocks(&made.encode(111, 10, 0, &frame(400))), []);
        assert_eq!(blocks(&made.encode(111, 11, 960, &frame(400))), [960]);
        assert_eq!(blocks(&made.encode(111, 12, 1_920, &frame(400))), [960], "no room for both");
        assert_eq!(blocks(&made.encode(111, 13, 2_880, &frame(10))), [1_920, 960]);
        assert_eq!(blocks(&made.encode(111, 12, 1_920, &frame(10))), [], "late");
        assert_eq!(
            blocks(&made.encode(111, 14, 3_840, &frame(10))),
            [1_920, 960],
            "the late one is not repeated"
        );
        assert_eq!(blocks(&made.encode(111, 15, 60_000, &frame(10))), [], "too long ago for the header");
        assert_eq!(blocks(&made.encode(111, 90, 60_960, &frame(10))), [], "too many lost between");
        assert_eq!(made.encode(111, 91, 61_920, &frame(1_400)).len(), 1_401);
        made.forget();
        assert_eq!(blocks(&made.encode(111, 92, 62_880, &frame(10))), []);
    }
}
