//! VP8 payload descriptor (RFC 7741 §4.2).

use super::{PayloadFacts, Vp8Ids};

/// Reads descriptor and first byte of the VP8 data; `None` when cut short, or when TL0PICIDX comes without TID.
pub(super) fn inspect(payload: &[u8]) -> Option<PayloadFacts> {
    let first = *payload.first()?;
    let starts_frame = first & 0x17 == 0x10;
    let mut at = 1;
    let mut ids = Vp8Ids::default();
    let (mut temporal, mut is_sync) = (0, false);
    if first & 0x80 != 0 {
        let extension = *payload.get(at)?;
        at += 1;
        if extension & 0x60 == 0x40 {
            return None;
        }
        if extension & 0x80 != 0 {
            at += read_picture_id(payload.get(at..)?, &mut ids)?;
        }
        if extension & 0x40 != 0 {
            ids.tl0_pic_idx = Some(*payload.get(at)?);
            at += 1;
        }
        if extension & 0x30 != 0 {
            let byte = *payload.get(at)?;
            if extension & 0x20 != 0 {
                (temporal, is_sync) = (byte >> 6, byte & 0x20 != 0);
            }
            at += 1;
        }
    }
    // §4.3: the lowest bit of the first data byte is clear in key frames.
    let is_key = payload.get(at)? & 0x01 == 0;
    Some(PayloadFacts {
        starts_key_frame: starts_frame && is_key,
        starts_frame,
        temporal,
        is_sync,
        vp8: Some(ids),
        ..PayloadFacts::default()
    })
}

/// Reads a picture id of 7 or 15 bits; how many bytes it took.
fn read_picture_id(bytes: &[u8], ids: &mut Vp8Ids) -> Option<usize> {
    let high = *bytes.first()?;
    if high & 0x80 == 0 {
        ids.picture_id = Some(u16::from(high));
        return Some(1);
    }
    ids.picture_id = Some(u16::from_be_bytes([high & 0x7f, *bytes.get(1)?]));
    ids.picture_id_is_long = true;
    Some(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(key: bool, start: bool, temporal: u8, ids: Vp8Ids) -> PayloadFacts {
        PayloadFacts {
            starts_key_frame: key,
            starts_frame: start,
            temporal,
            vp8: Some(ids),
            ..PayloadFacts::default()
        }
    }

    #[test]
    fn reads_every_form_of_the_descriptor() {
        let ids = |picture_id, picture_id_is_long, tl0_pic_idx| Vp8Ids {
            picture_id,
            picture_id_is_long,
            tl0_pic_idx,
        };
        let none = Vp8Ids::default();
        for (payload, expected) in [
            (&[0x10, 0x00][..], Some(facts(true, true, 0, none))),
            (&[0x10, 0x01], Some(facts(false, true, 0, none))),
            (&[0x00, 0x00], Some(facts(false, false, 0, none))),
            (&[0x11, 0x00], Some(facts(false, false, 0, none))),
            (&[0x90, 0x80, 0x11, 0x00], Some(facts(true, true, 0, ids(Some(0x11), false, None)))),
            (&[0x90, 0x80, 0x92, 0x34, 0x00], Some(facts(true, true, 0, ids(Some(0x1234), true, None)))),
            (
                &[0x90, 0xe0, 0x92, 0x34, 0x07, 0x80, 0x01],
                Some(facts(false, true, 2, ids(Some(0x1234), true, Some(7)))),
            ),
            (&[0x90, 0x20, 0x40, 0x00], Some(facts(true, true, 1, none))),
            (&[0x90, 0x20, 0x60, 0x01], Some(PayloadFacts { is_sync: true, ..facts(false, true, 1, none) })),
            (&[0x90, 0x10, 0x60, 0x01], Some(facts(false, true, 0, none))),
            (&[0x90, 0x10, 0x5f, 0x00], Some(facts(true, true, 0, none))),
            (&[0x90, 0x40, 0x07, 0x00], None),
            (&[], None),
            (&[0x10], None),
            (&[0x90], None),
            (&[0x90, 0x80], None),
            (&[0x90, 0x80, 0x80], None),
            (&[0x90, 0xe0, 0x92, 0x34, 0x07], None),
        ] {
            assert_eq!(inspect(payload), expected, "{payload:?}");
        }
    }

    #[test]
    fn agrees_with_the_transport_that_patches_the_descriptor() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for _ in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let bytes = state.to_be_bytes();
            let payload = &bytes[..usize::from(bytes[7] & 7)];
            let ours = inspect(payload);
            let theirs = str0m::rtp::Vp8Descriptor::parse(payload).ok();
            assert_eq!(ours.is_some(), theirs.is_some(), "{payload:x?}");
            let (Some(ours), Some(theirs)) = (ours, theirs) else { continue };
            let ids = ours.vp8.unwrap();
            assert_eq!(
                (ids.picture_id, ids.tl0_pic_idx),
                (theirs.picture_id(), theirs.tl0_pic_idx()),
                "{payload:x?}"
            );
            assert_eq!(ours.starts_key_frame, theirs.starts_keyframe(payload), "{payload:x?}");
        }
    }
}
