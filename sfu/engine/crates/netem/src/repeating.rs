//! Lost audio is asked for again: what a browser does for lines whose description says `nack`. The stack under the clients
//! asks only for streams that have another one for retransmissions.
//!
//! Owns which formats may be asked for. Never asks.

use std::collections::BTreeSet;

/// Formats that a description offers to repeat: line and payload type.
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
}
