//! Which packets the association may see, by the transport-wide sequence numbers in their headers, and which header
//! extensions of a description. Never changes a number.
//!
//! The association extends these numbers to 64 bits by the highest so far. One that lies more than half a round ahead
//! counts as late; before the first round is half over it would lie before zero, and becomes nearly 2^64: the next feedback
//! would list every packet between (str0m 0.25.0, `extend_u16`, `build_interims`). The header is not encrypted, so such a
//! packet is found before; clients count from the beginning of a round.
//!
//! Which extension holds the number is known once that is negotiated. Until then the association takes it from an id of
//! its own choice, and of packets with ids that nobody has given a meaning none may be seen. It would change its mind,
//! even by lines that are refused, when an id got a second meaning or a meaning a second id: these it never reads.
//!
//! It tells the peer of 1,050 bytes of arrivals each 50 ms and keeps the rest: numbers that take more room than that are
//! not taken.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::media::Mid;
use str0m::rtp::Extension;

use super::build::known_extensions;
use crate::allowance::Allowance;

/// Half a round of sequence numbers.
const HALF: u16 = 0x8000;
/// Profile of one-byte elements (RFC 8285 §4.2) …
const ONE_BYTE: u16 = 0xbede;
/// … and of two-byte elements (§4.3), but for the application's four bits.
const TWO_BYTE: u16 = 0x1000;

/// What a number that follows the last one uses of the allowance: 12,000 a second take a good half of the feedback's room.
const IN_TURN: Duration = Duration::from_nanos(1_000_000_000 / 12_000);
/// One that is near takes up to three times the room …
const NEAR: (u16, u32) = (7, 4);
/// … any other ten times.
const FAR: u32 = 16;
/// What may be used at once.
const MOST_OWED: Duration = Duration::from_secs(1);

/// URIs of the extensions that the association knows.
static KNOWN: LazyLock<Vec<String>> =
    LazyLock::new(|| known_extensions().iter().map(|(_, known)| known.as_uri().to_owned()).collect());

/// What is known of one peer's header extensions and transport-wide sequence numbers.
#[derive(Debug, Default)]
pub(super) struct TransportSeq {
    /// What ids stand for in descriptions that the association has read.
    described: Vec<(u8, String)>,
    /// Ids that have been negotiated.
    negotiated: Vec<u8>,
    id: Option<u8>,
    progress: Progress,
    last: Option<u16>,
    allowance: Allowance,
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
    /// A description without the extensions that would give an id a second meaning or a meaning a second id, as far as
    /// the association knows them.
    pub(super) fn filter(&mut self, description: &str) -> String {
        let mut text = String::with_capacity(description.len());
        for line in description.split_inclusive('\n') {
            if line.strip_prefix("a=extmap:").is_none_or(|value| self.describe(value.trim_end())) {
                text.push_str(line);
            }
        }
        text
    }

    /// Takes note of the value of an `a=extmap` (RFC 8285 §5). False: it contradicts another, or means nothing.
    fn describe(&mut self, value: &str) -> bool {
        let parts = value.split_once(' ').and_then(|(id, rest)| {
            Some((id.split('/').next()?.parse::<u8>().ok()?, rest.split(' ').next()?))
        });
        let Some((id, uri)) = parts else { return false };
        if !KNOWN.iter().any(|known| known == uri) {
            return true; // it is passed over
        }
        if self.described.iter().any(|(other, meaning)| (*other == id) != (meaning == uri)) {
            return false;
        }
        if !self.described.iter().any(|(other, _)| *other == id) {
            self.described.push((id, uri.to_owned()));
        }
        true
    }

    /// Reads from the association what the ids of some lines stand for.
    pub(super) fn note_negotiated(&mut self, rtc: &mut Rtc, mids: impl Iterator<Item = Mid>) {
        for media in mids.filter_map(|mid| rtc.media(mid)) {
            for (id, extension) in media.remote_extmap().iter() {
                self.note_id(id, extension);
            }
        }
        if self.id.is_some() {
            // It notes the numbers in any case, and forgets them only when it tells of them.
            rtc.direct_api().enable_twcc_feedback();
        }
    }

    fn note_id(&mut self, id: u8, extension: &Extension) {
        if !self.negotiated.contains(&id) {
            self.negotiated.push(id);
        }
        if *extension == Extension::TransportSequenceNumber {
            self.id = Some(id);
        }
    }

    /// Looks at an RTP datagram before the association does.
    pub(super) fn check(&mut self, now: Instant, datagram: &[u8]) -> Verdict {
        if !has_extension(datagram) {
            return Verdict::Fine(None);
        }
        // A malformed header the association refuses itself.
        let Some((is_two_byte, elements)) = extension_of(datagram) else { return Verdict::Fine(None) };
        let mut number = None;
        for (id, value) in (Elements { is_two_byte, rest: elements }) {
            let Some(value) = value.first_chunk() else { continue };
            if Some(id) == self.id {
                number = Some(u16::from_be_bytes(*value)); // of several the last counts
            } else if self.id.is_none() && !self.negotiated.contains(&id) {
                return Verdict::Refused;
            }
        }
        let Some(number) = number else { return Verdict::Fine(None) };
        if self.lies_before_zero(number) || !self.has_room(now, number) {
            return Verdict::Refused;
        }
        Verdict::Fine(Some(number))
    }

    /// Whether feedback has room for a number; uses that room.
    fn has_room(&mut self, now: Instant, number: u16) -> bool {
        if self.allowance.owed(now) >= MOST_OWED {
            return false;
        }
        let (near, near_cost) = NEAR;
        let cost = match self.last.map(|last| number.wrapping_sub(last)) {
            None | Some(1) => 1,
            Some(gap) if gap <= near || gap.wrapping_neg() <= near => near_cost,
            Some(_) => FAR,
        };
        self.allowance.charge(now, IN_TURN * cost, MOST_OWED);
        self.last = Some(number);
        true
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

    fn check(seen: &mut TransportSeq, number: u16) -> Verdict {
        seen.check(Instant::now(), &datagram(false, &[(4, b"7"), (3, &number.to_be_bytes())]))
    }

    #[test]
    fn what_would_lie_before_zero_is_refused_until_half_a_round_is_over() {
        let mut seen = negotiated();
        assert_eq!(check(&mut seen, 40_000), Verdict::Fine(Some(40_000)), "the first may be any");
        seen.note(2, true);
        assert_eq!(check(&mut seen, HALF + 2), Verdict::Fine(Some(HALF + 2)));
        assert_eq!(check(&mut seen, HALF + 3), Verdict::Refused);
        seen.note(1, true);
        seen.note(9_000, false);
        assert_eq!(check(&mut seen, HALF + 3), Verdict::Refused, "late and uncertain ones count for nothing");
        seen.note(HALF - 1, true);
        assert_eq!(check(&mut seen, u16::MAX), Verdict::Fine(Some(u16::MAX)));
        seen.note(HALF, true);
        seen.note(0, true);
        assert_eq!(
            check(&mut seen, u16::MAX),
            Verdict::Fine(Some(u16::MAX)),
            "nothing lies before zero any more"
        );
    }

    #[test]
    fn padding_counts_as_taken_until_something_certainly_is() {
        let mut seen = negotiated();
        seen.note(30_000, false);
        seen.note(10, false);
        seen.note(20_000, false);
        assert_eq!(check(&mut seen, HALF + 11), Verdict::Refused);
        seen.note(20_001, true);
        assert_eq!(check(&mut seen, HALF + 11), Verdict::Fine(Some(HALF + 11)));
    }

    #[test]
    fn both_forms_are_read_and_of_several_the_last_counts() {
        let mut seen = negotiated();
        seen.note(0, true);
        let (now, late) = (Instant::now(), u16::MAX.to_be_bytes());
        for is_two_byte in [false, true] {
            let mut check = |elements: &[(u8, &[u8])]| seen.check(now, &datagram(is_two_byte, elements));
            assert_eq!(check(&[(3, &[0, 1]), (3, &late)]), Verdict::Refused);
            assert_eq!(check(&[(3, &late), (3, &[0, 1, 9])]), Verdict::Fine(Some(1)));
            assert_eq!(check(&[(3, &[9])]), Verdict::Fine(None), "too short to be one");
            assert_eq!(check(&[(9, &late)]), Verdict::Fine(None), "nobody's");
        }
        assert_eq!(
            seen.check(now, &datagram(false, &[(15, &[1]), (3, &late)])),
            Verdict::Fine(None),
            "the end"
        );
        let whole = datagram(true, &[(3, &late)]);
        for length in 0..whole.len() {
            assert_eq!(
                seen.check(now, &whole[..length]),
                Verdict::Fine(None),
                "the association refuses it itself"
            );
        }
    }

    #[test]
    fn as_long_as_the_number_has_no_id_no_other_id_may_be_nobodys() {
        let (mut seen, now) = (TransportSeq::default(), Instant::now());
        let with = |id: u8| datagram(false, &[(id, &[0, 1])]);
        assert_eq!(seen.check(now, &with(3)), Verdict::Refused);
        seen.note_id(3, &Extension::RtpMid);
        assert_eq!(seen.check(now, &with(3)), Verdict::Fine(None));
        assert_eq!(
            seen.check(now, &datagram(false, &[(5, &[1])])),
            Verdict::Fine(None),
            "too short to be one"
        );
        seen.note_id(5, &Extension::TransportSequenceNumber);
        seen.note_id(5, &Extension::TransportSequenceNumber);
        assert_eq!(seen.check(now, &with(7)), Verdict::Fine(None));
        assert_eq!(seen.check(now, &[0x80; 30]), Verdict::Fine(None), "no extension");
    }

    #[test]
    fn an_id_keeps_its_meaning_and_a_meaning_its_id() {
        let mut seen = TransportSeq::default();
        let lines = |extensions: &[&str]| {
            extensions.iter().fold(String::new(), |text, extension| text + "a=extmap:" + extension + "\r\n")
        };
        let (mid, rotation, level) = (
            "urn:ietf:params:rtp-hdrext:sdes:mid",
            "urn:3gpp:video-orientation",
            "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
        );
        let first =
            lines(&[&format!("4 {mid}"), &format!("13/recvonly {rotation} some"), "3 urn:x:nobody's"]);
        assert_eq!(seen.filter(&first), first);
        assert_eq!(seen.filter(&first), first, "again");
        let second = lines(&[
            &format!("4 {rotation}"),
            &format!("3 {rotation}"),
            &format!("04 {level}"),
            &format!("x {level}"),
            "9",
            &format!("3 {level}"), // nobody's meaning binds nobody
        ]);
        assert_eq!(seen.filter(&second), lines(&[&format!("3 {level}")]));
        assert_eq!(seen.filter("v=0\r\nm=audio 0 X 1\r\na=x"), "v=0\r\nm=audio 0 X 1\r\na=x");
    }

    #[test]
    fn numbers_that_feedback_has_no_room_for_are_not_taken() {
        for (step, per_second) in [(1, 12_000), (2, 3_000), (0x3000, 750)] {
            let (mut seen, start) = (negotiated(), Instant::now());
            let mut number = HALF;
            seen.note(number, true);
            let mut take = |seen: &mut TransportSeq, now: Instant, most: u32| {
                let is_taken = |_: &u32| {
                    number = number.wrapping_add(step);
                    let packet = datagram(false, &[(3, &number.to_be_bytes())]);
                    seen.check(now, &packet) != Verdict::Refused
                };
                (0..most).take_while(is_taken).count()
            };
            let at_once = take(&mut seen, start, 100_000);
            assert!((per_second..per_second + 20).contains(&at_once), "{step}: {at_once}");
            let later = take(&mut seen, start + Duration::from_millis(500), 100_000);
            assert!((per_second / 2 - 20..per_second / 2 + 20).contains(&later), "{step}: {later}");
        }
    }
}
