//! Offsets of VP8 picture ids and TL0PICIDX (RFC 7741 §4.2): both must run on over a change of stream, and picture ids
//! over dropped temporal layers too, for receivers take a hole in them for a frame that is still to come.

use std::collections::VecDeque;

use crate::rtp::Vp8Ids;
use crate::rtp::seq::{is_after, mask};

/// Closed holes remembered for packets that come late.
const MAX_GAPS: usize = 32;

/// From this input id on (not wrapped), this offset leads to the output id.
#[derive(Debug, Clone, Copy)]
struct Gap {
    from: i64,
    offset: i64,
}

/// State of one outgoing SSRC.
#[derive(Debug)]
pub(super) struct PictureIds {
    gaps: VecDeque<Gap>,
    /// Newest input id of the current stream, not wrapped.
    highest: i64,
    tl0_offset: u8,
    last_picture: Option<u16>,
    last_is_long: bool,
    last_tl0: Option<u8>,
}

impl PictureIds {
    pub(super) const fn new() -> Self {
        Self {
            gaps: VecDeque::new(),
            highest: 0,
            tl0_offset: 0,
            last_picture: None,
            last_is_long: false,
            last_tl0: None,
        }
    }

    /// Another stream begins with these ids: they follow the last ones sent.
    pub(super) fn begin(&mut self, ids: Vp8Ids) {
        self.gaps.clear();
        if let Some(first) = ids.picture_id {
            self.highest = i64::from(first);
            let next = self.last_picture.map_or(first, |last| last.wrapping_add(1));
            self.gaps.push_back(Gap { from: i64::from(first), offset: i64::from(next) - i64::from(first) });
        }
        if let (Some(last), Some(first)) = (self.last_tl0, ids.tl0_pic_idx) {
            self.tl0_offset = last.wrapping_add(1).wrapping_sub(first);
        }
    }

    /// A packet of a picture that is not sent: later pictures close up.
    pub(super) fn skip(&mut self, ids: Vp8Ids) {
        let Some(picture) = ids.picture_id.map(|id| self.unwrapped(id, bits_of(ids))) else { return };
        let Some(last) = self.gaps.back_mut() else { return };
        if picture <= self.highest {
            return; // another packet of it, or one that comes late
        }
        self.highest = picture;
        let gap = Gap { from: picture + 1, offset: last.offset - 1 };
        if last.from == picture {
            *last = gap;
            return;
        }
        self.gaps.push_back(gap);
        if self.gaps.len() > MAX_GAPS {
            self.gaps.pop_front();
        }
    }

    /// Ids of a picture of the server's own, which ends the stream: `(picture id and whether it is long, TL0PICIDX)`.
    pub(super) fn insert(&mut self) -> (Option<(u16, bool)>, Option<u8>) {
        let bits = if self.last_is_long { 15 } else { 7 };
        self.last_picture = self.last_picture.map(|last| last.wrapping_add(1) & mask(bits));
        self.last_tl0 = self.last_tl0.map(|last| last.wrapping_add(1));
        (self.last_picture.map(|picture| (picture, self.last_is_long)), self.last_tl0)
    }

    /// Ids to send in place of these: `(picture id, TL0PICIDX)`, each in the width that the packet has.
    pub(super) fn rewrite(&mut self, ids: Vp8Ids) -> (Option<u16>, Option<u8>) {
        self.last_is_long = ids.picture_id_is_long;
        let picture = ids.picture_id.map(|id| self.rewrite_picture(id, bits_of(ids)));
        let tl0 = ids.tl0_pic_idx.map(|index| index.wrapping_add(self.tl0_offset));
        if let Some(tl0) = tl0
            && self.last_tl0.is_none_or(|last| is_after(last.into(), tl0.into(), 8))
        {
            self.last_tl0 = Some(tl0);
        }
        (picture, tl0)
    }

    fn rewrite_picture(&mut self, id: u16, bits: u32) -> u16 {
        let picture = self.unwrapped(id, bits);
        self.highest = self.highest.max(picture);
        let gap = self.gaps.iter().rev().find(|gap| gap.from <= picture).or(self.gaps.front());
        let offset = gap.map_or(0, |gap| gap.offset);
        let sent = low_16_bits(picture + offset) & mask(bits);
        if self.last_picture.is_none_or(|last| is_after(last, sent, bits)) {
            self.last_picture = Some(sent);
        }
        sent
    }

    /// The number nearest to the newest one that ends in these bits.
    fn unwrapped(&self, id: u16, bits: u32) -> i64 {
        let newest = low_16_bits(self.highest) & mask(bits);
        let ahead = i64::from(id.wrapping_sub(newest) & mask(bits));
        let circle = 1_i64 << bits;
        self.highest + if ahead < circle / 2 { ahead } else { ahead - circle }
    }
}

const fn bits_of(ids: Vp8Ids) -> u32 {
    if ids.picture_id_is_long { 15 } else { 7 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the point of it")]
const fn low_16_bits(value: i64) -> u16 {
    value as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(picture_id: u16, tl0_pic_idx: u8) -> Vp8Ids {
        Vp8Ids { picture_id: Some(picture_id), picture_id_is_long: true, tl0_pic_idx: Some(tl0_pic_idx) }
    }

    fn short(picture_id: u16) -> Vp8Ids {
        Vp8Ids { picture_id: Some(picture_id), picture_id_is_long: false, tl0_pic_idx: None }
    }

    #[test]
    fn the_first_stream_keeps_its_ids() {
        let mut ids = PictureIds::new();
        ids.begin(long(0x7ffe, 254));
        assert_eq!(ids.rewrite(long(0x7ffe, 254)), (Some(0x7ffe), Some(254)));
    }

    #[test]
    fn ids_run_on_over_switches_and_wraps() {
        let mut ids = PictureIds::new();
        ids.begin(long(0x7ffe, 254));
        for (picture, tl0) in [(0x7ffe, 254), (0x7fff, 255), (0, 0)] {
            assert_eq!(ids.rewrite(long(picture, tl0)), (Some(picture), Some(tl0)));
        }
        // One that came late does not count as the last.
        assert_eq!(ids.rewrite(long(0x7fff, 255)), (Some(0x7fff), Some(255)));
        ids.begin(long(500, 9));
        assert_eq!(ids.rewrite(long(500, 9)), (Some(1), Some(1)));
        assert_eq!(ids.rewrite(long(501, 9)), (Some(2), Some(1)));
    }

    #[test]
    fn short_ids_wrap_at_seven_bits() {
        let mut ids = PictureIds::new();
        ids.begin(short(126));
        assert_eq!(ids.rewrite(short(127)).0, Some(127));
        ids.begin(short(3));
        assert_eq!(ids.rewrite(short(3)).0, Some(0));
        assert_eq!(ids.rewrite(short(4)).0, Some(1));
    }

    #[test]
    fn packets_without_ids_stay_without() {
        let mut ids = PictureIds::new();
        ids.begin(Vp8Ids::default());
        assert_eq!(ids.rewrite(Vp8Ids::default()), (None, None));
    }

    #[test]
    fn dropped_pictures_leave_no_hole() {
        for (make, bits) in [(long as fn(u16, u8) -> Vp8Ids, 15), (|id, _| short(id & 0x7f), 7)] {
            let last = mask(bits);
            let mut ids = PictureIds::new();
            ids.begin(make(last - 1, 0));
            assert_eq!(ids.rewrite(make(last - 1, 0)).0, Some(last - 1));
            ids.skip(make(last, 0));
            ids.skip(make(last, 0)); // its second packet
            ids.skip(make(0, 0));
            assert_eq!(ids.rewrite(make(1, 0)).0, Some(last));
            assert_eq!(ids.rewrite(make(2, 0)).0, Some(0));
            ids.skip(make(3, 0));
            assert_eq!(ids.rewrite(make(4, 0)).0, Some(1));
            assert_eq!(ids.rewrite(make(2, 0)).0, Some(0), "late, as it was");
            ids.skip(make(2, 0));
            assert_eq!(ids.rewrite(make(5, 0)).0, Some(2), "too late to close up");
        }
    }
}
