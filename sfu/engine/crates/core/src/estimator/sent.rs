//! Packets on their way, by transport-wide sequence number, until the peer has said what became of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::clusters::ProbeTag;

/// Packets that are remembered.
const MAX_PACKETS: usize = 8_192;
/// How long a packet is remembered.
const MAX_AGE: Duration = Duration::from_secs(4);

/// What is known of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing.
    Unknown,
    /// The peer had not got it.
    Missing,
    /// It has arrived.
    Arrived,
}

/// One packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentPacket {
    /// When it left.
    pub(super) at: Instant,
    /// Its size on the wire.
    pub(super) bytes: usize,
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
        let is_old = |front: &SentPacket| packet.at.saturating_duration_since(front.at) > MAX_AGE;
        while self.packets.len() >= MAX_PACKETS || self.packets.front().is_some_and(is_old) {
            self.packets.pop_front();
            self.first += 1;
        }
        self.packets.push_back(packet);
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
            packets.push(seq, SentPacket { at: now, bytes: seq as usize, probe: None, fate: Fate::Unknown });
        }
        packets
    }

    fn found(packets: &mut SentPackets, first: u16, count: u16) -> Vec<(u16, usize)> {
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
}
