//! VP9 payload descriptor (RFC 9628 §4.2).

use super::PayloadFacts;

/// Reads the fixed part of the descriptor: bits I P L F B E V Z, picture id, layer indices.
pub(super) fn inspect(payload: &[u8]) -> Option<PayloadFacts> {
    let first = *payload.first()?;
    let is_inter_picture = first & 0x40 != 0;
    let begins = first & 0x08 != 0;
    let mut at = 1;
    if first & 0x80 != 0 {
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    let (mut temporal, mut spatial, mut is_sync) = (0, 0, false);
    if first & 0x20 != 0 {
        let layers = *payload.get(at)?;
        temporal = layers >> 5;
        is_sync = layers & 0x10 != 0;
        spatial = (layers >> 1) & 0x07;
        at += 1;
        // Without flexible mode TL0PICIDX follows.
        at += usize::from(first & 0x10 == 0);
    }
    payload.get(at)?;
    Some(PayloadFacts {
        starts_key_frame: begins && spatial == 0 && !is_inter_picture,
        starts_frame: begins,
        spatial,
        temporal,
        ends_frame: first & 0x04 != 0,
        is_sync,
        vp8: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_key_pictures_and_layers() {
        for (payload, expected) in [
            (&[0x08, 0xff][..], Some((true, true, 0, 0))),
            (&[0x88, 0x81, 0x02, 0xff], Some((true, true, 0, 0))),
            (&[0xc8, 0x01, 0xff], Some((false, true, 0, 0))),
            (&[0xa8, 0x01, 0x00, 0x00, 0xff], Some((true, true, 0, 0))),
            (&[0xa8, 0x01, 0x03, 0x00, 0xff], Some((false, true, 1, 0))),
            (&[0xe8, 0x01, 0x44, 0x00, 0xff], Some((false, true, 2, 2))),
            (&[0xb8, 0x01, 0x00, 0xff], Some((true, true, 0, 0))),
            (&[0x00, 0xff], Some((false, false, 0, 0))),
            (&[], None),
            (&[0x08], None),
            (&[0x88], None),
            (&[0x88, 0x81, 0x02], None),
            (&[0xa8, 0x01, 0x00, 0x00], None),
        ] {
            let facts = inspect(payload);
            let read = facts
                .map(|facts| (facts.starts_key_frame, facts.starts_frame, facts.spatial, facts.temporal));
            assert_eq!(read, expected, "{payload:x?}");
        }
    }

    #[test]
    fn reads_where_frames_end_and_layers_begin() {
        for (payload, expected) in [
            (&[0x8c, 0x01, 0xff][..], (true, false)),
            (&[0xe8, 0x01, 0x30, 0x00, 0xff], (false, true)),
            (&[0xa4, 0x01, 0x23, 0x00, 0xff], (true, false)),
        ] {
            let facts = inspect(payload).unwrap();
            assert_eq!((facts.ends_frame, facts.is_sync), expected, "{payload:x?}");
        }
    }
}
