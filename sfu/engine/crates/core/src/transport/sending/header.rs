//! RTP headers of forwarded packets with their extensions (RFC 3550 §5.1, RFC 8285).
//!
//! What a packet carries from end to end is laid out once as [`Elements`]; what belongs to this hop (MID, absolute send
//! time) is put before it each time. Never reads a packet.

use std::sync::Arc;

use str0m::media::{Media, Mid};
use str0m::rtp::{Extension, ExtensionValues};

use super::super::extension::{DEPENDENCY_DESCRIPTOR_URI, ONE_BYTE_FORM_MAX};

const VERSION: u8 = 2 << 6;
const HAS_EXTENSION: u8 = 1 << 4;
const MARKER: u8 = 1 << 7;
/// Bytes of an RTP header without extensions.
const FIXED_BYTES: usize = 12;
const ONE_BYTE_PROFILE: [u8; 2] = [0xbe, 0xde];
const TWO_BYTE_PROFILE: [u8; 2] = [0x10, 0x00];
/// Highest id of the one-byte form.
const ONE_BYTE_MAX_ID: u8 = 14;
const INLINE_BYTES: usize = 28;

/// Ids of the extensions that the peer takes on one line; 0: it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ExtensionIds {
    mid: u8,
    absolute_send_time: u8,
    transport_seq: u8,
    audio_level: u8,
    video_orientation: u8,
    playout_delay: u8,
    absolute_capture_time: u8,
    dependency_descriptor: u8,
}

impl ExtensionIds {
    /// Of a negotiated line.
    pub(super) fn of(media: &Media) -> Self {
        let mut ids = Self::default();
        for (id, extension) in media.remote_extmap().iter() {
            let slot = match extension {
                Extension::RtpMid => &mut ids.mid,
                Extension::AbsoluteSendTime => &mut ids.absolute_send_time,
                Extension::TransportSequenceNumber => &mut ids.transport_seq,
                Extension::AudioLevel => &mut ids.audio_level,
                Extension::VideoOrientation => &mut ids.video_orientation,
                Extension::PlayoutDelay => &mut ids.playout_delay,
                Extension::AbsoluteCaptureTime => &mut ids.absolute_capture_time,
                other if other.as_uri() == DEPENDENCY_DESCRIPTOR_URI => &mut ids.dependency_descriptor,
                _ => continue,
            };
            *slot = id;
        }
        ids
    }

    /// A line that takes them all.
    #[cfg(test)]
    pub(super) const fn all() -> Self {
        Self {
            mid: 4,
            absolute_send_time: 2,
            transport_seq: 3,
            audio_level: 1,
            video_orientation: 13,
            playout_delay: 5,
            absolute_capture_time: 6,
            dependency_descriptor: 12,
        }
    }

    /// Whether packets on this line carry transport-wide sequence numbers.
    pub(super) const fn takes_transport_seq(self) -> bool {
        self.transport_seq != 0
    }

    /// Whether packets on this line may carry the dependency descriptor.
    pub(super) const fn takes_descriptors(self) -> bool {
        self.dependency_descriptor != 0
    }

    /// What a packet carries that says nothing from end to end, in the form that this hop's own ids need.
    pub(super) fn no_elements(self) -> Elements {
        let highest = self.mid.max(self.absolute_send_time).max(self.transport_seq);
        Elements { is_two_byte: highest > ONE_BYTE_MAX_ID, ..Elements::NONE }
    }

    /// Lays out what `values` and the dependency descriptor say and this line takes.
    pub(super) fn elements(
        self,
        values: &ExtensionValues,
        playout_delay: Option<[u8; 3]>,
        descriptor: Option<&[u8]>,
    ) -> Elements {
        let mut laid_out = self.no_elements();
        if self.audio_level != 0
            && let (Some(level), Some(is_voice)) = (values.audio_level, values.voice_activity)
        {
            let voice = if is_voice { MARKER } else { 0 };
            laid_out.push(self.audio_level, &[voice | level.unsigned_abs() & 0x7f]);
        }
        if let (1.., Some(orientation)) = (self.video_orientation, values.video_orientation) {
            laid_out.push(self.video_orientation, &[orientation as u8]);
        }
        if let (1.., Some(playout_delay)) = (self.playout_delay, playout_delay) {
            laid_out.push(self.playout_delay, &playout_delay);
        }
        if let (1.., Some(capture)) = (self.absolute_capture_time, &values.abs_capture_time) {
            let time = super::ntp::from_system_time(capture.capture_time).to_be_bytes();
            match capture.clock_offset {
                Some(offset) => {
                    let mut bytes = [0; 16];
                    bytes[..8].copy_from_slice(&time);
                    bytes[8..].copy_from_slice(&offset.to_be_bytes());
                    laid_out.push(self.absolute_capture_time, &bytes);
                }
                None => laid_out.push(self.absolute_capture_time, &time),
            }
        }
        if let (1.., Some(descriptor)) = (self.dependency_descriptor, descriptor) {
            laid_out.push(self.dependency_descriptor, descriptor);
        }
        laid_out
    }
}

/// Extension elements of one packet, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elements {
    bytes: ElementBytes,
    /// Some value is too long for the one-byte form, or some id too high.
    is_two_byte: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ElementBytes {
    Inline { length: u8, bytes: [u8; INLINE_BYTES] },
    Long(Arc<Vec<u8>>),
}

impl Elements {
    /// None at all.
    pub(super) const NONE: Self =
        Self { bytes: ElementBytes::Inline { length: 0, bytes: [0; INLINE_BYTES] }, is_two_byte: false };

    fn as_bytes(&self) -> &[u8] {
        match &self.bytes {
            ElementBytes::Inline { length, bytes } => &bytes[..usize::from(*length)],
            ElementBytes::Long(bytes) => bytes,
        }
    }

    fn push(&mut self, id: u8, value: &[u8]) {
        if !self.is_two_byte && (value.len() > ONE_BYTE_FORM_MAX || value.is_empty() || id > ONE_BYTE_MAX_ID)
        {
            self.widen();
        }
        let mut element = [0; 2];
        let head = element_head(&mut element, self.is_two_byte, id, value.len());
        self.extend(head);
        self.extend(value);
    }

    /// Turns elements of the one-byte form into the two-byte form.
    fn widen(&mut self) {
        let narrow = std::mem::replace(self, Self { is_two_byte: true, ..Self::NONE });
        let mut rest = narrow.as_bytes();
        while let Some((head, behind)) = rest.split_first() {
            let (value, behind) = behind.split_at((usize::from(head & 0x0f) + 1).min(behind.len()));
            self.push(head >> 4, value);
            rest = behind;
        }
    }

    fn extend(&mut self, more: &[u8]) {
        match &mut self.bytes {
            ElementBytes::Inline { length, bytes } => {
                let from = usize::from(*length);
                match bytes.get_mut(from..from + more.len()) {
                    Some(target) => {
                        target.copy_from_slice(more);
                        #[expect(clippy::cast_possible_truncation, reason = "at most INLINE_BYTES")]
                        let total = (from + more.len()) as u8;
                        *length = total;
                    }
                    None => self.bytes = ElementBytes::Long(Arc::new([&bytes[..from], more].concat())),
                }
            }
            ElementBytes::Long(bytes) => Arc::make_mut(bytes).extend_from_slice(more),
        }
    }
}

/// The head of one element.
fn element_head(out: &mut [u8; 2], is_two_byte: bool, id: u8, length: usize) -> &[u8] {
    #[expect(clippy::cast_possible_truncation, reason = "values have at most 255 bytes")]
    let length = length as u8;
    if is_two_byte {
        *out = [id, length];
        return out;
    }
    out[0] = id << 4 | length.wrapping_sub(1) & 0x0f;
    &out[..1]
}

/// What belongs to this hop alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hop {
    /// The line; until the peer has shown that it knows the stream.
    pub(super) mid: Option<Mid>,
    /// When the packet leaves, in 6.18 fixed point.
    pub(super) send_time: u32,
    /// Its number among all packets of the transport, where the line takes it.
    pub(super) transport_seq: u16,
}

/// The numbers of a header.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers {
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    pub(super) seq: u64,
    pub(super) timestamp: u32,
    pub(super) ssrc: u32,
}

/// Appends a header; how many bytes it has.
pub(super) fn write_header(
    out: &mut Vec<u8>,
    numbers: Numbers,
    hop: Hop,
    ids: ExtensionIds,
    elements: &Elements,
) -> usize {
    let start = out.len();
    let mid = hop.mid.filter(|_| ids.mid != 0);
    let has_extensions = mid.is_some()
        || ids.absolute_send_time != 0
        || ids.transport_seq != 0
        || !elements.as_bytes().is_empty();
    let mut fixed = [0; FIXED_BYTES];
    fixed[0] = VERSION | if has_extensions { HAS_EXTENSION } else { 0 };
    fixed[1] = numbers.payload_type & 0x7f | if numbers.marker { MARKER } else { 0 };
    fixed[2..4].copy_from_slice(&numbers.seq.to_be_bytes()[6..]);
    fixed[4..8].copy_from_slice(&numbers.timestamp.to_be_bytes());
    fixed[8..].copy_from_slice(&numbers.ssrc.to_be_bytes());
    out.extend_from_slice(&fixed);
    if !has_extensions {
        return FIXED_BYTES;
    }
    let is_two_byte = elements.is_two_byte; // a mid has at most 16 bytes
    out.extend_from_slice(if is_two_byte { &TWO_BYTE_PROFILE } else { &ONE_BYTE_PROFILE });
    out.extend_from_slice(&[0; 2]);
    let mut head = [0; 2];
    if ids.absolute_send_time != 0 {
        out.extend_from_slice(element_head(&mut head, is_two_byte, ids.absolute_send_time, 3));
        out.extend_from_slice(&hop.send_time.to_be_bytes()[1..]);
    }
    if ids.transport_seq != 0 {
        out.extend_from_slice(element_head(&mut head, is_two_byte, ids.transport_seq, 2));
        out.extend_from_slice(&hop.transport_seq.to_be_bytes());
    }
    if let Some(mid) = mid {
        out.extend_from_slice(element_head(&mut head, is_two_byte, ids.mid, mid.len()));
        out.extend_from_slice(mid.as_bytes());
    }
    out.extend_from_slice(elements.as_bytes());
    let body_start = start + FIXED_BYTES + 4;
    let padded = (out.len() - body_start).next_multiple_of(4);
    out.resize(body_start + padded, 0);
    #[expect(clippy::cast_possible_truncation, reason = "a few hundred bytes at most")]
    let words = (padded / 4) as u16;
    out[body_start - 2..body_start].copy_from_slice(&words.to_be_bytes());
    out.len() - start
}

#[cfg(test)]
mod tests {
    use str0m::rtp::VideoOrientation;

    use super::*;

    const IDS: ExtensionIds = ExtensionIds::all();
    const NUMBERS: Numbers =
        Numbers { payload_type: 96, marker: true, seq: 0x1_2345, timestamp: 0x0102_0304, ssrc: 0x0506_0708 };

    /// Profile and elements, as a receiver reads them (RFC 8285 §4).
    fn read(header: &[u8]) -> (u16, Vec<(u8, Vec<u8>)>) {
        assert_eq!(header[..12], [0x90, 0xe0, 0x23, 0x45, 1, 2, 3, 4, 5, 6, 7, 8]);
        let profile = u16::from_be_bytes([header[12], header[13]]);
        let words = usize::from(u16::from_be_bytes([header[14], header[15]]));
        let mut rest = &header[16..];
        assert_eq!(rest.len(), words * 4);
        let mut elements = Vec::new();
        while let Some((head, behind)) = rest.split_first() {
            rest = behind;
            if *head == 0 {
                continue;
            }
            let (id, length) = if profile == 0xbede {
                (head >> 4, usize::from(head & 0xf) + 1)
            } else {
                let (length, behind) = rest.split_first().unwrap();
                rest = behind;
                (*head, usize::from(*length))
            };
            elements.push((id, rest[..length].to_vec()));
            rest = &rest[length..];
        }
        (profile, elements)
    }

    const PLAYOUT_DELAY: Option<[u8; 3]> = Some([0x12, 0x34, 0x56]);

    fn header(hop: Hop, values: &ExtensionValues, descriptor: &[u8]) -> Vec<u8> {
        let mut out = vec![9];
        let length =
            write_header(&mut out, NUMBERS, hop, IDS, &IDS.elements(values, PLAYOUT_DELAY, Some(descriptor)));
        assert_eq!((out[0], out.len()), (9, length + 1));
        out.split_off(1)
    }

    const HOP: Hop = Hop { mid: None, send_time: 0x00aa_bbcc, transport_seq: 0x1122 };

    #[test]
    fn what_a_line_takes_is_written() {
        let values = ExtensionValues {
            audio_level: Some(-37),
            voice_activity: Some(true),
            video_orientation: Some(VideoOrientation::Deg90),
            ..ExtensionValues::default()
        };
        let hop = Hop { mid: Some(Mid::from("v1")), ..HOP };
        let (profile, elements) = read(&header(hop, &values, &[7, 8, 9]));
        assert_eq!(profile, 0xbede);
        assert_eq!(
            elements,
            [
                (2, vec![0xaa, 0xbb, 0xcc]),
                (3, vec![0x11, 0x22]),
                (4, b"v1".to_vec()),
                (1, vec![0xa5]),
                (13, vec![VideoOrientation::Deg90 as u8]),
                (5, vec![0x12, 0x34, 0x56]),
                (12, vec![7, 8, 9]),
            ]
        );
    }

    #[test]
    fn a_long_value_needs_the_two_byte_form_for_all() {
        for length in [16, 17, 40, 255] {
            let bytes: Vec<u8> = (0..length).collect();
            let values = ExtensionValues {
                audio_level: Some(-1),
                voice_activity: Some(false),
                ..ExtensionValues::default()
            };
            let (profile, elements) = read(&header(HOP, &values, &bytes));
            assert_eq!(profile, if length > 16 { 0x1000 } else { 0xbede });
            let hop = [(2, vec![0xaa, 0xbb, 0xcc]), (3, vec![0x11, 0x22])];
            let rest = [(1, vec![1]), (5, vec![0x12, 0x34, 0x56]), (12, bytes)];
            assert_eq!(elements, [&hop[..], &rest].concat());
        }
    }

    #[test]
    fn an_id_beyond_the_one_byte_form_needs_the_other_for_all() {
        let values = ExtensionValues {
            audio_level: Some(-1),
            voice_activity: Some(false),
            ..ExtensionValues::default()
        };
        for ids in [
            ExtensionIds { mid: 15, ..IDS },
            ExtensionIds { absolute_send_time: 16, ..IDS },
            ExtensionIds { transport_seq: 16, ..IDS },
            ExtensionIds { audio_level: 15, ..IDS },
        ] {
            for elements in [ids.elements(&values, None, None), ids.no_elements()] {
                let is_end_to_end = !elements.as_bytes().is_empty();
                let mut out = Vec::new();
                let hop = Hop { mid: Some(Mid::from("v1")), ..HOP };
                write_header(&mut out, NUMBERS, hop, ids, &elements);
                let mut expected = vec![
                    (ids.absolute_send_time, vec![0xaa, 0xbb, 0xcc]),
                    (ids.transport_seq, vec![0x11, 0x22]),
                    (ids.mid, b"v1".to_vec()),
                ];
                if is_end_to_end {
                    expected.push((ids.audio_level, vec![1]));
                }
                let has_high_id = expected.iter().any(|(id, _)| *id > ONE_BYTE_MAX_ID);
                let profile = if has_high_id { 0x1000 } else { 0xbede };
                assert_eq!(read(&out), (profile, expected), "{ids:?}");
            }
        }
    }

    #[test]
    fn what_a_line_does_not_take_is_left_out() {
        let ids = ExtensionIds::default();
        let elements = ids.elements(&ExtensionValues::default(), PLAYOUT_DELAY, Some(&[1; 40]));
        let mut out = Vec::new();
        let hop = Hop { mid: Some(Mid::from("0")), send_time: 1, transport_seq: 1 };
        assert_eq!(write_header(&mut out, NUMBERS, hop, ids, &elements), FIXED_BYTES);
        assert_eq!(out[0], VERSION);
    }
}
