//! The few bytes of a payload that differ from subscriber to subscriber; the payload itself stays shared.

/// Bytes to put in place of a payload's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patch {
    length: u8,
    /// Offset and value.
    bytes: [(u8, u8); 3],
}

impl Patch {
    /// The payload as it is.
    pub(crate) const NONE: Self = Self { length: 0, bytes: [(0, 0); 3] };

    /// Other ids in a VP8 payload descriptor (RFC 7741 §4.2), each in the width that the packet has. Ids that the packet
    /// does not have are left out.
    pub(crate) fn vp8_ids(payload: &[u8], picture_id: Option<u16>, tl0_pic_idx: Option<u8>) -> Self {
        let mut patch = Self::NONE;
        let &[first, extension, ..] = payload else { return patch };
        if first & 0x80 == 0 {
            return patch;
        }
        let mut at: u8 = 2;
        if extension & 0x80 != 0 {
            let is_long = payload.get(2).is_some_and(|byte| byte & 0x80 != 0);
            if let Some([high, low]) = picture_id.map(u16::to_be_bytes) {
                if is_long {
                    patch.set(2, 0x80 | high);
                    patch.set(3, low);
                } else {
                    patch.set(2, low & 0x7f);
                }
            }
            at += if is_long { 2 } else { 1 };
        }
        if let (true, Some(tl0_pic_idx)) = (extension & 0x40 != 0, tl0_pic_idx) {
            patch.set(at, tl0_pic_idx);
        }
        patch
    }

    /// Another payload type in the headers of a RED payload (RFC 2198 §3), of the first three blocks.
    pub(crate) fn red_blocks(payload: &[u8], payload_type: u8) -> Self {
        let mut patch = Self::NONE;
        for offset in [0_u8, 4, 8] {
            let Some(first) = payload.get(usize::from(offset)) else { return patch };
            patch.set(offset, first & 0x80 | payload_type);
            if first & 0x80 == 0 {
                return patch;
            }
        }
        patch
    }

    fn set(&mut self, offset: u8, byte: u8) {
        if let Some(place) = self.bytes.get_mut(usize::from(self.length)) {
            *place = (offset, byte);
            self.length += 1;
        }
    }

    /// Changes a copy of the payload.
    pub(super) fn apply(self, payload: &mut [u8]) {
        for (offset, byte) in &self.bytes[..usize::from(self.length)] {
            if let Some(target) = payload.get_mut(usize::from(*offset)) {
                *target = *byte;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::codec::inspect;
    use crate::rtp::{Codec, red};

    #[test]
    fn new_ids_are_read_back_and_nothing_else_changes() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut patched = 0;
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bytes = state.to_be_bytes();
            let payload = &bytes[..usize::from(bytes[7] & 7)];
            let Some(before) = inspect(Codec::Vp8, payload) else { continue };
            let ids = before.vp8.unwrap();
            let picture_id = ids.picture_id.map(|_| if ids.picture_id_is_long { 0x4321 } else { 0x21 });
            let tl0_pic_idx = ids.tl0_pic_idx.map(|_| 0x77);
            let mut copy = payload.to_vec();
            Patch::vp8_ids(payload, picture_id, tl0_pic_idx).apply(&mut copy);
            let after = inspect(Codec::Vp8, &copy).unwrap();
            let read = after.vp8.unwrap();
            assert_eq!((read.picture_id, read.tl0_pic_idx), (picture_id, tl0_pic_idx), "{payload:x?}");
            assert_eq!(read.picture_id_is_long, ids.picture_id_is_long);
            assert_eq!((after.temporal, after.starts_key_frame), (before.temporal, before.starts_key_frame));
            patched += u32::from(picture_id.is_some() && tl0_pic_idx.is_some());
        }
        assert!(patched > 100);
    }

    #[test]
    fn red_blocks_get_the_type_that_the_subscriber_knows() {
        let mut payload = Vec::new();
        let block = red::RedundantBlock { timestamp_offset: 960, payload: &[7; 9] };
        red::write(&mut payload, 111, &[block, block], &[5; 9]);
        let patch = Patch::red_blocks(&payload, 96);
        patch.apply(&mut payload);
        let mut expected = Vec::new();
        red::write(&mut expected, 96, &[block, block], &[5; 9]);
        assert_eq!(payload, expected);
        assert_eq!(Patch::red_blocks(&[], 96), Patch::NONE);
    }

    #[test]
    fn payloads_without_ids_stay_as_they_are() {
        for payload in [&[][..], &[0x90], &[0x10, 0xff, 0xff, 0xff], &[0x90, 0x10, 0x5f, 0x00]] {
            assert_eq!(Patch::vp8_ids(payload, Some(9), Some(9)), Patch::NONE);
        }
    }
}
