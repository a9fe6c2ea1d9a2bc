//! The streams that a client names for one of its lines (`a=ssrc` and `a=ssrc-group`, RFC 5576). Text in, text out.

use super::scan::attribute_value;

/// Streams that one line may name: three layers with retransmissions and forward error correction are nine.
const MAX_SOURCES: usize = 16;

/// What the lines about streams say. The transport keeps something for each stream that is named, for as long as it
/// lives; whoever names more than anyone sends names none. Packets still tell by their header extensions whose they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Sources {
    text: String,
    ssrcs: Vec<u32>,
    are_too_many: bool,
}

impl Sources {
    /// Whether a line is about streams.
    pub(super) fn are_in(line: &str) -> bool {
        line.starts_with("a=ssrc:") || line.starts_with("a=ssrc-group:")
    }

    /// Takes a line about streams; one without a usable number says nothing.
    pub(super) fn take(&mut self, line: &str) {
        let of_group = || attribute_value(line, "ssrc-group")?.split_once(' ').map(|(_, ssrcs)| ssrcs);
        let of_one = attribute_value(line, "ssrc").map(|value| value.split(' ').next().unwrap_or(value));
        let numbers = of_one.or_else(of_group);
        let numbers = numbers.and_then(|numbers| numbers.split(' ').map(|ssrc| ssrc.parse().ok()).collect());
        let Some::<Vec<u32>>(numbers) = numbers.filter(|_| !self.are_too_many) else { return };
        for ssrc in numbers {
            if !self.ssrcs.contains(&ssrc) {
                self.ssrcs.push(ssrc);
            }
        }
        if self.ssrcs.len() > MAX_SOURCES {
            *self = Self { are_too_many: true, ..Self::default() };
            return;
        }
        self.text.push_str(line);
        self.text.push_str("\r\n");
    }

    /// The lines, each with its end.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The streams, each once.
    pub(super) fn ssrcs(&self) -> &[u32] {
        &self.ssrcs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lines: &[String]) -> Sources {
        let mut sources = Sources::default();
        lines.iter().filter(|line| Sources::are_in(line)).for_each(|line| sources.take(line));
        sources
    }

    #[test]
    fn streams_are_counted_once_however_often_they_are_named() {
        let lines =
            ["a=ssrc:1 cname:x", "a=ssrc:1 msid:s t", "a=mid:0", "a=ssrc-group:FID 1 2", "a=ssrc:2 cname:x"];
        let sources = taken(&lines.map(str::to_owned));
        assert_eq!(sources.ssrcs(), [1, 2]);
        assert_eq!(sources.text().lines().count(), 4);
    }

    #[test]
    fn what_names_no_stream_is_left_out() {
        let lines = [
            "a=ssrc:x cname:x",
            "a=ssrc:4294967296 cname:x",
            "a=ssrc:",
            "a=ssrc-group:FID",
            "a=ssrc-group:FID 1 -",
        ];
        let sources = taken(&lines.map(str::to_owned));
        assert_eq!((sources.ssrcs(), sources.text()), (&[][..], ""));
    }

    #[test]
    fn who_names_too_many_names_none() {
        let most = u32::try_from(MAX_SOURCES).unwrap();
        let named = |count: u32| (0..count).map(|ssrc| format!("a=ssrc:{ssrc} cname:x")).collect::<Vec<_>>();
        assert_eq!(taken(&named(most)).ssrcs().len(), MAX_SOURCES);
        assert_eq!(taken(&named(most + 1)).text(), "");
        assert_eq!(taken(&named(3 * most)).ssrcs(), []);
        let numbers: Vec<String> =
            named(most + 1).iter().map(|line| line[7..].replace(" cname:x", "")).collect();
        let group = format!("a=ssrc-group:SIM {}", numbers.join(" "));
        assert_eq!(taken(&[group]).ssrcs(), []);
    }
}
