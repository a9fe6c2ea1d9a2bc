//! Which H.264 formats of a description are of use (RFC 6184 §8.1): one profile for each packetization mode.

/// How well a profile fits: constrained baseline is what every client decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ProfileFit {
    ConstrainedBaseline,
    Other,
}

/// How packets carry NAL units. What is sent in the single-unit mode any receiver understands; the other way round not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PacketizationMode {
    /// Mode 1. Splits pictures over packets, so that is the better one.
    NonInterleaved,
    /// Mode 0.
    SingleUnit,
}

impl PacketizationMode {
    /// By the parameter `packetization-mode`. `None`: interleaved, which nobody uses, or nonsense.
    pub(super) fn read(parameter: Option<&str>) -> Option<Self> {
        match parameter {
            Some("1") => Some(Self::NonInterleaved),
            Some("0") | None => Some(Self::SingleUnit),
            Some(_) => None,
        }
    }

    /// Value of the parameter.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::NonInterleaved => 1,
            Self::SingleUnit => 0,
        }
    }
}

/// One H.264 format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct H264Format {
    pub(super) mode: PacketizationMode,
    pub(super) profile: ProfileFit,
    /// `profile_idc`, constraint flags and level, one byte each.
    pub(super) level_id: u32,
}

impl H264Format {
    /// By its parameters. `None`: of no use.
    pub(super) fn read(mode: Option<&str>, level_id: Option<&str>) -> Option<Self> {
        let text = level_id.unwrap_or("42000a"); // baseline, level 1
        let is_hex = text.len() == 6 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let level_id = u32::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
        let (profile, constraints) = (level_id >> 16, (level_id >> 8) & 0xff);
        // Constraint set 1 on a baseline stream means constrained baseline.
        let is_constrained = profile == 0x42 && constraints & 0x40 != 0;
        let profile = if is_constrained { ProfileFit::ConstrainedBaseline } else { ProfileFit::Other };
        Some(Self { mode: PacketizationMode::read(mode)?, profile, level_id })
    }
}

/// The profile to keep in each mode, over all lines of a description alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct H264Choice {
    non_interleaved: Option<ProfileFit>,
    single_unit: Option<ProfileFit>,
}

impl H264Choice {
    /// The best that is there in each mode.
    pub(super) fn among(formats: impl Iterator<Item = H264Format>) -> Self {
        let mut choice = Self::default();
        for format in formats {
            let best = match format.mode {
                PacketizationMode::NonInterleaved => &mut choice.non_interleaved,
                PacketizationMode::SingleUnit => &mut choice.single_unit,
            };
            *best = Some(best.map_or(format.profile, |known| known.min(format.profile)));
        }
        choice
    }

    /// Whether a format is of the chosen profile in its mode.
    pub(super) fn keeps(self, format: H264Format) -> bool {
        let chosen = match format.mode {
            PacketizationMode::NonInterleaved => self.non_interleaved,
            PacketizationMode::SingleUnit => self.single_unit,
        };
        chosen == Some(format.profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_apart_by_mode_and_profile() {
        use PacketizationMode::{NonInterleaved, SingleUnit};
        use ProfileFit::{ConstrainedBaseline, Other};
        for (mode, level_id, expected) in [
            (Some("1"), Some("42e01f"), Some((NonInterleaved, ConstrainedBaseline))),
            (Some("1"), Some("42001f"), Some((NonInterleaved, Other))),
            (Some("0"), Some("64001F"), Some((SingleUnit, Other))),
            (None, None, Some((SingleUnit, Other))),
            (Some("2"), Some("42e01f"), None),
            (Some(""), Some("42e01f"), None),
            (Some("1"), Some("42e0zz"), None),
            (Some("1"), Some("+2e01f"), None),
            (Some("1"), Some("42e01"), None),
        ] {
            let format = H264Format::read(mode, level_id);
            assert_eq!(format.map(|format| (format.mode, format.profile)), expected, "{mode:?} {level_id:?}");
        }
    }

    #[test]
    fn each_mode_has_its_best_profile() {
        let read = |mode, level_id| H264Format::read(Some(mode), Some(level_id)).unwrap();
        let (plain, better, single) = (read("1", "42001f"), read("1", "42e01f"), read("0", "4d001f"));
        let choice = H264Choice::among([plain, better, single].into_iter());
        assert_eq!([plain, better, single].map(|format| choice.keeps(format)), [false, true, true]);
        assert!(!H264Choice::default().keeps(better));
    }
}
