//! Which packets the association may see, by the transport-wide sequence numbers in their headers. Never changes one.
//!
//! The association extends these numbers to 64 bits by the highest so far. One that lies more than half a round ahead
//! counts as late; before the first round is half over it would lie before zero, and becomes nearly 2^64: the next feedback
//! would list every packet between (str0m 0.25.0, `extend_u16`, `build_interims`). The header is not encrypted, so such a
//! packet is found before; no client that counts its packets sends one.
//!
//! Which extension holds the number is known once that is negotiated. Until then the association takes it from an id of
//! its own choice, and of packets with ids that nobody has given a meaning none may be seen.

use str0m::Rtc;
use str0m::media::Mid;
use str0m::rtp::Extension;

/// Half a round of sequence numbers.
const HALF: u16 = 0x8000;
/// Profile of one-byte elements (RFC 8285 §4.2) …
const ONE_BYTE: u16 = 0xbede;
/// … and of two-byte elements (§4.3), but for the application's four bits.
const TWO_BYTE: u16 = 0x1000;

/// What is known of one peer's header extensions and transport-wide sequence numbers.
#[derive(Debug, Default)]
pub(super) struct TransportSeq {
    /// What the ids stand for that have been negotiated.
    negotiated: Vec<(u8, Extension)>,
    id: Option<u8>,
    /// The peer has given an id two meanings, so that none is sure.
    is_unsure: bool,
    progress: Progress,
}

/// How far the numbers have come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Progress {
    /// None was seen.
    #[default]
    None,
    /// The association has been shown some, of which this is the lowest, and may have taken any of them.
    Shown(u16),
    /// The highest that it has certainly taken.
    Taken(u16),
    /// The first half of a round is over: from now on nothing lies before zero.
    Over,
}

/// What the header of a packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be seen; with its number, as long as that is of interest.
    Fine(Option<u16>),
    /// It must not be seen.
    Refused,
}

impl TransportSeq {
    /// Reads from the association what the ids of some lines stand for.
    pub(super) fn note_negotiated(&mut self, rtc: &Rtc, mids: impl Iterator<Item = Mid>) {
        for media in mids.filter_map(|mid| rtc.media(mid)) {
            for (id, extension) in media.remote_extmap().iter() {
                self.note_id(id, extension);
            }
        }
    }

    fn note_id(&mut self, id: u8, extension: &Extension) {
        match self.negotiated.iter().find(|(known, _)| *known == id) {
            Some((_, known)) => self.is_unsure |= known != extension,
            None => self.negotiated.push((id, extension.clone())),
        }
        if *extension == Extension::TransportSequenceNumber {
            self.is_unsure |= self.id.is_some_and(|known| known != id);
            self.id = Some(id);
        }
    }

    /// Looks at an RTP datagram before the association does.
    pub(super) fn check(&self, datagram: &[u8]) -> Verdict {
        let is_over = self.progress == Progress::Over && self.id.is_some() && !self.is_unsure;
        if is_over || !has_extension(datagram) {
            return Verdict::Fine(None);
        }
        // A malformed header the association refuses itself.
        let Some((is_two_byte, elements)) = extension_of(datagram) else { return Verdict::Fine(None) };
        if self.is_unsure {
            return Verdict::Refused;
        }
        let mut number = None;
        for (id, value) in (Elements { is_two_byte, rest: elements }) {
            let Some(value) = value.first_chunk() else { continue };
            if Some(id) == self.id {
                number = Some(u16::from_be_bytes(*value)); // of several the last counts
            } else if self.id.is_none() && !self.negotiated.iter().any(|(known, _)| *known == id) {
                return Verdict::Refused;
            }
        }
        if number.is_some_and(|number| self.lies_before_zero(number)) {
            return Verdict::Refused;
        }
        Verdict::Fine(number)
    }

    /// Whether a number may lie before zero for the association.
    fn lies_before_zero(&self, number: u16) -> bool {
        let (Progress::Shown(lowest) | Progress::Taken(lowest)) = self.progress else { return false };
        number > lowest.saturating_add(HALF)
    }

    /// The association has been shown a packet with that number. `is_taken`: it was genuine, and more than padding.
    pub(super) fn note(&mut self, number: u16, is_taken: bool) {
        self.progress = match self.progress {
            Progress::Over => Progress::Over,
            _ if is_taken && number >= HALF => Progress::Over,
            Progress::Taken(highest) => Progress::Taken(if is_taken { highest.max(number) } else { highest }),
            _ if is_taken => Progress::Taken(number),
            Progress::Shown(lowest) => Progress::Shown(lowest.min(number)),
            Progress::None => Progress::Shown(number),
        };
    }
}

/// Whether an RTP header has an extension (RFC 3550 §5.1).
fn has_extension(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x10 != 0)
}

/// Whether the elements of the header extension are of the two-byte kind, and they themselves (RFC 3550 §5.3.1).
fn extension_of(datagram: &[u8]) -> Option<(bool, &[u8])> {
    let sources = usize::from(datagram.first()? & 0x0f);
    let (&[first, second, high, low], rest) = datagram.get(12 + 4 * sources..)?.split_first_chunk()?;
    let is_two_byte = match u16::from_be_bytes([first, second]) {
        ONE_BYTE => false,
        profile if profile & 0xfff0 == TWO_BYTE => true,
        _ => return None,
    };
    Some((is_two_byte, rest.get(..usize::from(u16::from_be_bytes([high, low])) * 4)?))
}

/// Elements of a header extension (RFC 8285 §4): id, value.
struct Elements<'a> {
    is_two_byte: bool,
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let [0, rest @ ..] = self.rest {
            self.rest = rest; // padding
        }
        let (id, length, rest) = match (self.is_two_byte, self.rest) {
            (true, [id, length, rest @ ..]) => (*id, usize::from(*length), rest),
            (false, [head, rest @ ..]) if head >> 4 != 15 => (head >> 4, usize::from(head & 0x0f) + 1, rest),
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.rest = rest;
        Some((id, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An RTP header with these elements, of one or of two bytes.
    fn datagram(is_two_byte: bool, elements: &[(u8, &[u8])]) -> Vec<u8> {
        let mut extension = Vec::new();
        for (id, value) in elements {
            let length = u8::try_from(value.len()).unwrap();
            if is_two_byte {
                extension.extend([*id, length]);
            } else {
                extension.push(id << 4 | (length - 1));
            }
            extension.extend_from_slice(value);
            extension.push(0); // padding between elements
        }
        extension.resize(extension.len().next_multiple_of(4), 0);
        let mut datagram = vec![0x91; 1]; // one contributing source
        datagram.resize(16, 0);
        datagram.extend(if is_two_byte { [0x10, 0x05] } else { [0xbe, 0xde] });
        datagram.extend(u16::try_from(extension.len() / 4).unwrap().to_be_bytes());
        datagram.extend(extension);
        datagram
    }

    fn negotiated() -> TransportSeq {
        let mut seen = TransportSeq::default();
        seen.note_id(4, &Extension::RtpMid);
        seen.note_id(3, &Extension::TransportSequenceNumber);
        seen
    }

    fn check(seen: &TransportSeq, number: u16) -> Verdict {
        seen.check(&datagram(false, &[(4, b"7"), (3, &number.to_be_bytes())]))
    }

    #[test]
    fn what_would_lie_before_zero_is_refused_until_half_a_round_is_over() {
        let mut seen = negotiated();
        assert_eq!(check(&seen, 40_000), Verdict::Fine(Some(40_000)), "the first may be any");
        seen.note(2, true);
        assert_eq!(check(&seen, HALF + 2), Verdict::Fine(Some(HALF + 2)));
        assert_eq!(check(&seen, HALF + 3), Verdict::Refused);
        seen.note(1, true);
        seen.note(9_000, false);
        assert_eq!(check(&seen, HALF + 3), Verdict::Refused, "late and uncertain ones count for nothing");
        seen.note(HALF - 1, true);
        assert_eq!(check(&seen, u16::MAX), Verdict::Fine(Some(u16::MAX)));
        seen.note(HALF, true);
        seen.note(0, true);
        assert_eq!(check(&seen, u16::MAX), Verdict::Fine(None), "nothing lies before zero any more");
    }

    #[test]
    fn padding_counts_as_taken_until_something_certainly_is() {
        let mut seen = negotiated();
        seen.note(30_000, false);
        seen.note(10, false);
        seen.note(20_000, false);
        assert_eq!(check(&seen, HALF + 11), Verdict::Refused);
        seen.note(20_001, true);
        assert_eq!(check(&seen, HALF + 11), Verdict::Fine(Some(HALF + 11)));
    }

    #[test]
    fn both_forms_are_read_and_of_several_the_last_counts() {
        let mut seen = negotiated();
        seen.note(0, true);
        let late = u16::MAX.to_be_bytes();
        for is_two_byte in [false, true] {
            let check = |elements: &[(u8, &[u8])]| seen.check(&datagram(is_two_byte, elements));
            assert_eq!(check(&[(3, &[0, 1]), (3, &late)]), Verdict::Refused);
            assert_eq!(check(&[(3, &late), (3, &[0, 1, 9])]), Verdict::Fine(Some(1)));
            assert_eq!(check(&[(3, &[9])]), Verdict::Fine(None), "too short to be one");
            assert_eq!(check(&[(9, &late)]), Verdict::Fine(None), "nobody's");
        }
        assert_eq!(seen.check(&datagram(false, &[(15, &[1]), (3, &late)])), Verdict::Fine(None), "the end");
        let whole = datagram(true, &[(3, &late)]);
        for length in 0..whole.len() {
            assert_eq!(
                seen.check(&whole[..length]),
                Verdict::Fine(None),
                "the association refuses it itself"
            );
        }
    }

    #[test]
    fn as_long_as_the_number_has_no_id_no_other_id_may_be_nobodys() {
        let mut seen = TransportSeq::default();
        let with = |id: u8| datagram(false, &[(id, &[0, 1])]);
        assert_eq!(seen.check(&with(3)), Verdict::Refused);
        seen.note_id(3, &Extension::RtpMid);
        assert_eq!(seen.check(&with(3)), Verdict::Fine(None));
        assert_eq!(seen.check(&datagram(false, &[(5, &[1])])), Verdict::Fine(None), "too short to be one");
        seen.note_id(5, &Extension::TransportSequenceNumber);
        seen.note_id(5, &Extension::TransportSequenceNumber);
        assert_eq!(seen.check(&with(7)), Verdict::Fine(None));
        seen.note_id(3, &Extension::AudioLevel);
        assert_eq!(seen.check(&with(7)), Verdict::Refused, "an id with two meanings");
        assert_eq!(seen.check(&[0x80; 30]), Verdict::Fine(None), "no extension");
    }
}
