//! Splits a session description into lines and sections, with bounds. Knows lines, not their meaning.

use super::SdpError;

/// Largest description taken, in bytes. A client with 500 m-lines of twenty codecs stays below.
const MAX_BYTES: usize = 1 << 20;
/// Most m-lines taken.
const MAX_SECTIONS: usize = 1000;
/// Most lines taken. Short ones that mean nothing cost a transport more than long ones that do.
const MAX_LINES: usize = 1 << 16;
/// Longest line of an m-line's section. Parameters of formats are read again and again.
const MAX_SECTION_LINE_BYTES: usize = 4096;

/// One line and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// 1-based.
    pub(super) number: usize,
    /// Without its end.
    pub(super) text: &'a str,
}

/// One m-line with its attributes.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// The `m=` line.
    pub(super) media: Line<'a>,
    /// What follows, up to the next `m=`.
    pub(super) lines: Vec<Line<'a>>,
}

impl<'a> Section<'a> {
    /// Values of `a=<name>:<value>` lines.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = (Line<'a>, &'a str)> {
        self.lines.iter().filter_map(move |line| attribute_value(line.text, name).map(|value| (*line, value)))
    }
}

/// A description cut into its parts.
#[derive(Debug)]
pub(super) struct Description<'a> {
    /// Lines before the first `m=`.
    pub(super) session: Vec<Line<'a>>,
    /// M-lines in order.
    pub(super) sections: Vec<Section<'a>>,
}

impl<'a> Description<'a> {
    /// Cuts `text` at line ends (CRLF or LF) and m-lines; every line must look like `x=…`.
    pub(super) fn scan(text: &'a str) -> Result<Self, SdpError> {
        if text.len() > MAX_BYTES {
            return Err(SdpError::TooLarge);
        }
        let mut description = Self { session: Vec::new(), sections: Vec::new() };
        for (index, raw) in text.trim_end_matches(['\r', '\n']).split('\n').enumerate() {
            if index == MAX_LINES {
                return Err(SdpError::TooLarge);
            }
            let line = Line { number: index + 1, text: raw.strip_suffix('\r').unwrap_or(raw) };
            if !is_well_formed(line) {
                return Err(SdpError::Malformed { line: line.number });
            }
            let is_of_section = line.text.starts_with("m=") || !description.sections.is_empty();
            if is_of_section && line.text.len() > MAX_SECTION_LINE_BYTES {
                return Err(SdpError::TooLarge);
            }
            if line.text.starts_with("m=") {
                if description.sections.len() == MAX_SECTIONS {
                    return Err(SdpError::TooLarge);
                }
                description.sections.push(Section { media: line, lines: Vec::new() });
            } else if let Some(section) = description.sections.last_mut() {
                section.lines.push(line);
            } else {
                description.session.push(line);
            }
        }
        if description.sections.is_empty() {
            return Err(SdpError::Malformed { line: description.session.len() });
        }
        // Everything that a group names is looked for among the m-lines.
        if description.bundled().nth(MAX_SECTIONS).is_some() {
            return Err(SdpError::TooLarge);
        }
        Ok(description)
    }

    /// Mids in the BUNDLE group.
    pub(super) fn bundled(&self) -> impl Iterator<Item = &'a str> {
        self.session
            .iter()
            .filter_map(|line| attribute_value(line.text, "group")?.strip_prefix("BUNDLE "))
            .flat_map(|mids| mids.split(' '))
    }
}

/// `x=…` in printable text; the first line must be `v=0`.
fn is_well_formed(line: Line<'_>) -> bool {
    let mut bytes = line.text.bytes();
    let starts_well =
        bytes.next().is_some_and(|byte| byte.is_ascii_lowercase()) && bytes.next() == Some(b'=');
    let is_printable = line.text.bytes().all(|byte| byte >= b' ' || byte == b'\t');
    starts_well && is_printable && (line.number > 1 || line.text == "v=0")
}

/// The value of `a=<name>:<value>`.
pub(super) fn attribute_value<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_both_kinds_of_line_end() {
        let description = Description::scan("v=0\r\ns=-\nm=audio 9 X 1\r\na=mid:0\r\n\r\n").unwrap();
        assert_eq!(description.session.len(), 2);
        assert_eq!(description.sections[0].lines[0].number, 4);
        assert_eq!(description.sections[0].values("mid").next().unwrap().1, "0");
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        for (text, line) in [
            ("", 1),
            ("v=1\r\nm=audio 9 X 1", 1),
            ("v=0\r\nnonsense\r\nm=audio 9 X 1", 2),
            ("v=0\r\ns=-\r\n", 2),
            ("v=0\r\nm=audio 9 X 1\r\na=a\u{1}b", 3),
            ("v=0\r\nm=audio 9 X 1\r\na=a\rb", 3),
            ("v=0\r\n\r\nm=audio 9 X 1", 2),
        ] {
            assert_eq!(Description::scan(text).err(), Some(SdpError::Malformed { line }), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_no_client_sends() {
        let huge = format!("v=0\r\nm=audio 9 X 1\r\na={}", "x".repeat(MAX_BYTES));
        let many = format!("v=0\r\n{}", "m=audio 9 X 1\r\n".repeat(MAX_SECTIONS + 1));
        let long = format!("v=0\nm=audio 9 X 1\n{}", "a=x\n".repeat(MAX_LINES));
        let bundle = format!("v=0\na=group:BUNDLE{}\nm=audio 9 X 1", " 0".repeat(MAX_SECTIONS + 1));
        let wide = format!("v=0\nm=audio 9 X 1\na=fmtp:1 {}", "x".repeat(MAX_SECTION_LINE_BYTES));
        for text in [huge, many, long, bundle, wide] {
            assert_eq!(Description::scan(&text).err(), Some(SdpError::TooLarge));
        }
    }

    #[test]
    fn lists_the_bundle() {
        let description = Description::scan("v=0\na=group:LS 9\na=group:BUNDLE 0 a1\nm=audio 9 X 1").unwrap();
        assert_eq!(description.bundled().collect::<Vec<_>>(), ["0", "a1"]);
    }
}
