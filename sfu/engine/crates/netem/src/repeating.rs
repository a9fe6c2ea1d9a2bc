//! Lost audio goes again: what a browser does for lines whose description says `nack`. The stack under the clients repeats
//! only streams that have another one for that, and asks for no others.
//!
//! Owns which formats may be asked for, and the datagrams that one connection sent last. Opens none of them.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use str0m::rtp::rtcp::Nack;

/// Datagrams that are kept: a few seconds of sound.
const KEPT: usize = 200;

/// Formats that a description offers to repeat or asks for: line and payload type.
#[derive(Debug, Default)]
pub(crate) struct Repeatable(BTreeSet<(String, u8)>);

impl Repeatable {
    /// Reads what a description says of audio.
    pub(crate) fn read(description: &str) -> Self {
        let mut found = BTreeSet::new();
        for section in description.split("\r\nm=").skip(1).filter(|section| section.starts_with("audio")) {
            let Some(mid) = section.lines().find_map(|line| line.strip_prefix("a=mid:")) else { continue };
            let formats =
                section.lines().filter_map(|line| line.strip_prefix("a=rtcp-fb:")?.strip_suffix(" nack"));
            found.extend(formats.filter_map(|format| Some((mid.to_owned(), format.parse().ok()?))));
        }
        Self(found)
    }

    /// Whether packets of a format on a line may be asked for again.
    pub(crate) fn has(&self, mid: &str, payload_type: u8) -> bool {
        self.0.contains(&(mid.to_owned(), payload_type))
    }

    /// Whether packets of a format are repeated on any line.
    fn has_anywhere(&self, payload_type: u8) -> bool {
        self.0.iter().any(|(_, format)| *format == payload_type)
    }
}

/// The last datagrams of one connection that may be asked for.
#[derive(Debug, Default)]
pub(crate) struct Sent(VecDeque<(SocketAddr, Vec<u8>)>);

impl Sent {
    /// Keeps a datagram if it is RTP of a format that is repeated.
    pub(crate) fn keep(&mut self, repeatable: &Repeatable, destination: SocketAddr, datagram: &[u8]) {
        let is_rtp = matches!(datagram, [128..=191, second, ..] if !matches!(second & 0x7f, 64..=95));
        if datagram.len() < 12 || !is_rtp || !repeatable.has_anywhere(datagram[1] & 0x7f) {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((destination, datagram.to_vec()));
    }

    /// What is asked for and still there, as it was.
    pub(crate) fn asked_for(&self, nack: &Nack) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut wanted = BTreeSet::new();
        for entry in nack.reports.iter() {
            let more = (0..16_u16).filter(|bit| entry.blp >> bit & 1 == 1);
            wanted.insert(entry.pid);
            wanted.extend(more.map(|bit| entry.pid.wrapping_add(bit + 1)));
        }
        let ssrc = (*nack.ssrc).to_be_bytes();
        let is_wanted = |(_, datagram): &&(SocketAddr, Vec<u8>)| {
            datagram[8..12] == ssrc && wanted.contains(&u16::from_be_bytes([datagram[2], datagram[3]]))
        };
        self.0.iter().filter(is_wanted).cloned().collect()
    }
}
