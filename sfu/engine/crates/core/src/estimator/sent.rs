//! Packets on their way, by transport-wide sequence number, until the peer has said what became of them.
//!
//! Memory follows use: nothing before the first packet, at most 0.4 MB for somebody who gets thousands a
//! second, and nothing again for somebody who gets none any more.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::clusters::ProbeTag;

/// Packets that are remembered.
const MAX_PACKETS: usize = 8_192;
/// How long a packet is remembered.
const MAX_AGE: Duration = Duration::from_secs(4);

/// Memory is given back when that many times as much is held as is used.
const SLACK: usize = 4;

/// What is known of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing.
    Unknown,
    /// The peer had not got it.
    Missing,
    /// The peer had not got it and was sent it again under the same number.
    Repeated,
    /// It has arrived.
    Arrived,
}

/// One packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentPacket {
    /// When it left.
    pub(super) at: Instant,
    /// Its size on the wire.
    pub(super) bytes: u32,
    /// The probe that it is part of.
    pub(super) probe: Option<ProbeTag>,
    /// What became of it.
    pub(super) fate: Fate,
}

/// The last packets, one number after the other.
#[derive(Debug, Default)]
pub(super) struct SentPackets {
    first: u64,
    packets: VecDeque<SentPacket>,
    /// When to look for what is too old at the latest; `None`: there is nothing.
    look_at: Option<Instant>,
}

impl SentPackets {
    /// The next packet, with this number. A number that does not follow the last one begins anew.
    pub(super) fn push(&mut self, seq: u64, packet: SentPacket) {
        if self.first + self.packets.len() as u64 != seq {
            self.packets.clear();
        }
        if self.packets.is_empty() {
            self.first = seq;
        }
        self.forget_old(packet.at);
        if self.packets.len() >= MAX_PACKETS {
            self.packets.pop_front();
            self.first += 1;
        }
        self.look_at.get_or_insert(packet.at + MAX_AGE);
        self.packets.push_back(packet);
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |front: &SentPacket| now.saturating_duration_since(front.at) > MAX_AGE;
        while self.packets.front().is_some_and(is_old) {
            self.packets.pop_front();
            self.first += 1;
        }
    }

    /// Gives memory back that is not used any more.
    pub(super) fn shrink(&mut self, now: Instant) {
        if self.look_at.is_none_or(|at| now < at) {
            return;
        }
        self.forget_old(now);
        if self.packets.len() < self.packets.capacity() / SLACK {
            self.packets.shrink_to(self.packets.len() * 2);
        }
        self.look_at = (!self.packets.is_empty()).then(|| now + MAX_AGE);
    }

    /// When there may be memory to give back.
    pub(super) const fn next_shrink(&self) -> Option<Instant> {
        self.look_at
    }

    /// The packets with the numbers from `first` on that are remembered, each with its distance from `first`.
    pub(super) fn range(&mut self, first: u16, count: u16) -> impl Iterator<Item = (u16, &mut SentPacket)> {
        let from = self.extend(first);
        let skipped = from.map_or(u64::MAX, |from| self.first.saturating_sub(from));
        let place = from.map_or(0, |from| from.saturating_sub(self.first));
        let begin = usize::try_from(place).unwrap_or(usize::MAX).min(self.packets.len());
        let wanted = u64::from(count).saturating_sub(skipped);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.packets.len() - begin);
        let distance = u16::try_from(skipped).unwrap_or(u16::MAX);
        self.packets.range_mut(begin..begin + wanted).enumerate().map(move |(nth, packet)| {
            (distance.saturating_add(u16::try_from(nth).unwrap_or(u16::MAX)), packet)
        })
    }

    /// The number closest to the last one, at most half a turn behind it.
    fn extend(&self, seq: u16) -> Option<u64> {
        let last =
            (self.first + self.packets.len() as u64).checked_sub(1).filter(|_| !self.packets.is_empty())?;
        #[expect(clippy::cast_possible_truncation, reason = "the low bits")]
        let behind = (last as u16).wrapping_sub(seq);
        if behind > 1 << 15 {
            return None; // never sent
        }
        // Before the first one of all there was none: as if it were forgotten.
        Some(last.saturating_sub(u64::from(behind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(range: std::ops::Range<u64>) -> SentPackets {
        let now = Instant::now();
        let mut packets = SentPackets::default();
        for seq in range {
            #[expect(clippy::cast_possible_truncation)]
            packets.push(seq, SentPacket { at: now, bytes: seq as u32, probe: None, fate: Fate::Unknown });
        }
        packets
    }

    fn found(packets: &mut SentPackets, first: u16, count: u16) -> Vec<(u16, u32)> {
        packets.range(first, count).map(|(distance, packet)| (distance, packet.bytes)).collect()
    }

    #[test]
    fn packets_are_found_by_the_low_bits_of_their_numbers() {
        let mut packets = filled(65_530..65_545);
        assert_eq!(found(&mut packets, 65_535, 3), [(0, 65_535), (1, 65_536), (2, 65_537)]);
        assert_eq!(found(&mut packets, 7, 9), [(0, 65_543), (1, 65_544)], "not beyond the last");
        assert_eq!(
            found(&mut packets, 65_528, 4),
            [(2, 65_530), (3, 65_531)],
            "what came before is forgotten"
        );
        assert_eq!(found(&mut packets, 9, 5), [], "never sent");
        assert_eq!(found(&mut packets, 0, u16::MAX).len(), 9);
        assert_eq!(found(&mut SentPackets::default(), 0, u16::MAX), []);
    }

    #[test]
    fn neither_many_packets_nor_old_ones_are_kept() {
        let mut packets = filled(0..20_000);
        assert_eq!(packets.packets.len(), MAX_PACKETS);
        let later = Instant::now() + MAX_AGE * 2;
        packets.push(20_000, SentPacket { at: later, bytes: 1, probe: None, fate: Fate::Unknown });
        assert_eq!(packets.packets.len(), 1);
        packets.push(5, SentPacket { at: later, bytes: 2, probe: None, fate: Fate::Unknown });
        assert_eq!(found(&mut packets, 5, 1), [(0, 2)]);
    }

    #[test]
    fn memory_follows_use() {
        const PACKET: usize = size_of::<SentPacket>();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let sent = |at| SentPacket { at, bytes: 1, probe: None, fate: Fate::Unknown };
        let mut packets = SentPackets::default();
        assert_eq!((packets.packets.capacity(), packets.next_shrink()), (0, None), "nothing beforehand");
        for seq in 0..40_000 {
            packets.push(seq, sent(at(seq / 8))); // 8,000 a second: as many as are remembered, and more
        }
        assert!(packets.packets.capacity() * PACKET <= 400_000, "{PACKET} bytes each");
        // 50 a second from now on, as with sound alone.
        let mut now = at(5_000);
        for nth in 0..500 {
            now += Duration::from_millis(20);
            packets.push(40_000 + nth, sent(now));
            if packets.next_shrink().is_some_and(|due| due <= now) {
                packets.shrink(now);
            }
        }
        assert!(packets.packets.capacity() * PACKET <= 20_000, "{}", packets.packets.capacity());
        assert_eq!(found(&mut packets, 40_498, 2), [(0, 1), (1, 1)], "what is there is kept");
        // And then nothing.
        while let Some(due) = packets.next_shrink() {
            assert!(due > now && due < at(25_000));
            now = due + Duration::from_millis(1);
            packets.shrink(now);
        }
        assert_eq!(packets.packets.capacity(), 0);
        packets.push(40_500, sent(now));
        assert_eq!(found(&mut packets, 40_500, 1), [(0, 1)]);
    }
}
