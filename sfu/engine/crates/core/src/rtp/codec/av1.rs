//! AV1 aggregation header (AV1 RTP specification §4.4).

use super::PayloadFacts;

/// Reads Z (continues an OBU) and N (first packet of a coded video sequence).
pub(super) fn inspect(payload: &[u8]) -> Option<PayloadFacts> {
    let header = *payload.first()?;
    payload.get(1)?;
    let continues = header & 0x80 != 0;
    let is_new_sequence = header & 0x08 != 0;
    // A packet that begins a sequence cannot continue anything.
    (!(continues && is_new_sequence)).then(|| PayloadFacts {
        starts_key_frame: is_new_sequence,
        starts_frame: is_new_sequence,
        ..PayloadFacts::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_new_sequences() {
        for (payload, expected) in [
            (&[0x18, 0x0a][..], Some(true)),
            (&[0x10, 0x32], Some(false)),
            (&[0x90, 0x00], Some(false)),
            (&[0x98, 0x00], None),
            (&[0x18], None),
            (&[], None),
        ] {
            assert_eq!(inspect(payload).map(|facts| facts.starts_key_frame), expected, "{payload:x?}");
        }
    }
}
