//! Offsets of VP8 picture ids and TL0PICIDX (RFC 7741 §4.2): both must run on over a change of stream.

use crate::rtp::Vp8Ids;
use crate::rtp::seq::{is_after, mask};

/// State of one outgoing SSRC.
#[derive(Debug, Clone, Copy)]
pub(super) struct PictureIds {
    picture_offset: u16,
    tl0_offset: u8,
    last_picture: Option<u16>,
    last_tl0: Option<u8>,
}

impl PictureIds {
    pub(super) const fn new() -> Self {
        Self { picture_offset: 0, tl0_offset: 0, last_picture: None, last_tl0: None }
    }

    /// Another stream begins with these ids: they follow the last ones sent.
    pub(super) fn begin(&mut self, ids: Vp8Ids) {
        if let (Some(last), Some(first)) = (self.last_picture, ids.picture_id) {
            self.picture_offset = last.wrapping_add(1).wrapping_sub(first);
        }
        if let (Some(last), Some(first)) = (self.last_tl0, ids.tl0_pic_idx) {
            self.tl0_offset = last.wrapping_add(1).wrapping_sub(first);
        }
    }

    /// Ids to send in place of these: `(picture id, TL0PICIDX)`, each in the width that the packet has.
    pub(super) fn rewrite(&mut self, ids: Vp8Ids) -> (Option<u16>, Option<u8>) {
        let bits = if ids.picture_id_is_long { 15 } else { 7 };
        let picture = ids.picture_id.map(|id| id.wrapping_add(self.picture_offset) & mask(bits));
        if let Some(picture) = picture
            && self.last_picture.is_none_or(|last| is_after(last, picture, bits))
        {
            self.last_picture = Some(picture);
        }
        let tl0 = ids.tl0_pic_idx.map(|index| index.wrapping_add(self.tl0_offset));
        if let Some(tl0) = tl0
            && self.last_tl0.is_none_or(|last| is_after(last.into(), tl0.into(), 8))
        {
            self.last_tl0 = Some(tl0);
        }
        (picture, tl0)
    }
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
}
