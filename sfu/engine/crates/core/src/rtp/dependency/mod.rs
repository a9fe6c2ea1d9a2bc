//! Dependency descriptor header extension (AV1 RTP specification, appendix A): reads and rewrites it.
//!
//! The first packet of a key frame carries the template structure; later packets name a template of it. Nothing here
//! keeps a structure: the caller hands in the [`Structure`] of the last descriptor that had one.

mod bits;
mod structure;

pub use structure::{DecodeTargets, MAX_TARGETS, Structure};

use bits::{BitReader, BitWriter};

/// Most bytes of a descriptor: a two-byte header extension element (RFC 8285 §4.3).
pub const MAX_BYTES: usize = 255;
/// Bytes of the mandatory fields.
const MANDATORY_BYTES: usize = 3;

/// A spatial and a temporal layer; in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Layer {
    /// Spatial layer, 0 the smallest picture.
    pub spatial: u8,
    /// Temporal layer, 0 the fewest frames.
    pub temporal: u8,
}

impl Layer {
    /// More than any layer.
    pub const MAX: Self = Self { spatial: u8::MAX, temporal: u8::MAX };
}

/// What a frame is to each decode target (§A.6, decode target indication): two bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indications(u64);

impl Indications {
    const SWITCH: u64 = 2;

    fn read(bits: &mut BitReader<'_>, count: u8) -> Option<Self> {
        (0..count)
            .try_fold(Self(0), |all, target| Some(Self(all.0 | u64::from(bits.read(2)?) << (target * 2))))
    }

    const fn of(self, target: u8) -> u64 {
        if target < 32 { self.0 >> (target * 2) & 3 } else { 0 }
    }

    /// As the specification's tables write them: `-` not present, `D` discardable, `S` switch, `R` required.
    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Self {
        let number = |letter| "-DSR".find(letter).map_or(0, |at| at as u64);
        Self(text.chars().rev().fold(0, |all, letter| all << 2 | number(letter)))
    }

    /// Whether the frame belongs to a target.
    #[must_use]
    pub const fn has(self, target: u8) -> bool {
        self.of(target) != 0
    }

    /// Whether all later frames of a target can be decoded once this one is.
    #[must_use]
    pub const fn is_switch(self, target: u8) -> bool {
        self.of(target) == Self::SWITCH
    }
}

/// Frames that a frame needs, by how far back they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct References {
    /// Bit n: the frame n + 1 before this one.
    near: u128,
    has_far: bool,
}

impl References {
    /// Notes a frame so far back.
    pub(crate) fn insert(&mut self, distance: u32) {
        match distance {
            1..=128 => self.near |= 1 << (distance - 1),
            _ => self.has_far = true,
        }
    }

    /// Whether all of them are in a history (bit n: the frame n + 1 before this one).
    #[must_use]
    pub const fn are_in(self, history: u128) -> bool {
        !self.has_far && self.near & !history == 0
    }
}

/// Layer and dependencies of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameDependency {
    /// Its layer.
    pub layer: Layer,
    /// What it is to each decode target.
    pub indications: Indications,
    /// What it needs.
    pub references: References,
}

impl FrameDependency {
    fn of(layer: Layer) -> Self {
        Self { layer, indications: Indications::default(), references: References::default() }
    }
}

/// One descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// First packet of its frame.
    pub starts_frame: bool,
    /// Last packet of its frame.
    pub ends_frame: bool,
    /// Number of the frame, all layers counted, wrapping at 16 bits.
    pub frame_number: u16,
    /// Bitmask of the decode targets that are being produced from now on, when the packet says so.
    pub active_targets: Option<u32>,
    /// Template structure: this packet begins a key frame.
    pub structure: Option<Structure>,
    /// The frame itself.
    pub frame: FrameDependency,
}

impl DependencyDescriptor {
    /// Reads a descriptor by its own structure, or else by the `known` one. `None` when it is cut short or out of
    /// bounds, or names a template that neither structure has.
    #[must_use]
    pub fn parse(bytes: &[u8], known: Option<&Structure>) -> Option<Self> {
        let mut bits = BitReader::new(bytes);
        let (starts_frame, ends_frame) = (bits.flag()?, bits.flag()?);
        let template_id = bits.read_u8(6)?;
        let frame_number = u16::try_from(bits.read(16)?).ok()?;
        let flags = if bytes.len() > MANDATORY_BYTES { Flags::read(&mut bits)? } else { Flags::default() };
        let own = if flags.has_structure { Some(Structure::read(&mut bits)?) } else { None };
        let structure = own.as_ref().or(known)?;
        let mut active_targets = own.as_ref().map(|own| own.targets().all());
        let count = structure.targets().count();
        if flags.has_active_targets {
            active_targets = Some(bits.read(count.into())?);
        }
        let mut frame = structure.template(template_id)?;
        if flags.has_indications {
            frame.indications = Indications::read(&mut bits, count)?;
        }
        if flags.has_references {
            frame.references = read_references(&mut bits)?;
        }
        // Custom chains may follow: chains tell a receiver what is lost, which is not for a forwarder to judge.
        Some(Self { starts_frame, ends_frame, frame_number, active_targets, structure: own, frame })
    }
}

#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "five flags of the wire")]
struct Flags {
    has_structure: bool,
    has_active_targets: bool,
    has_indications: bool,
    has_references: bool,
    has_chains: bool,
}

impl Flags {
    fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        Some(Self {
            has_structure: bits.flag()?,
            has_active_targets: bits.flag()?,
            has_indications: bits.flag()?,
            has_references: bits.flag()?,
            has_chains: bits.flag()?,
        })
    }

    fn write(self, bits: &mut BitWriter<'_>) -> Option<()> {
        [
            self.has_structure,
            self.has_active_targets,
            self.has_indications,
            self.has_references,
            self.has_chains,
        ]
        .into_iter()
        .try_for_each(|flag| bits.write(flag.into(), 1))
    }
}

fn read_references(bits: &mut BitReader<'_>) -> Option<References> {
    let mut references = References::default();
    loop {
        match bits.read(2)? {
            0 => return Some(references),
            nibbles => references.insert(bits.read(nibbles * 4)? + 1),
        }
    }
}

/// What a forwarder reads of one packet, with the structure's part in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketDependency {
    /// First packet of its frame.
    pub starts_frame: bool,
    /// Last packet of its frame.
    pub ends_frame: bool,
    /// It carries the template structure.
    pub has_structure: bool,
    /// Number of the frame.
    pub frame_number: u16,
    /// Another number for each structure of a stream.
    pub structure: u32,
    /// Layers of the decode targets.
    pub targets: DecodeTargets,
    /// Targets that are being produced.
    pub active_targets: u32,
    /// The frame itself.
    pub frame: FrameDependency,
}

/// New numbers of a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DependencyRewrite {
    /// Number of the frame.
    pub frame_number: u16,
    /// `(bitmask, number of targets)` to say instead of what the packet says of active targets; `None` leaves that.
    pub active_targets: Option<(u32, u8)>,
}

/// Writes a descriptor with new numbers into `target`, which must be zero; how many bytes it took. `None`: the
/// descriptor does not parse, or does not fit.
#[must_use]
pub fn rewrite(bytes: &[u8], rewrite: DependencyRewrite, target: &mut [u8; MAX_BYTES]) -> Option<usize> {
    let first = *bytes.first()?;
    let Some((mask, count)) = rewrite.active_targets else {
        bytes.get(..MANDATORY_BYTES)?;
        target.get_mut(..bytes.len())?.copy_from_slice(bytes);
        target.get_mut(1..MANDATORY_BYTES)?.copy_from_slice(&rewrite.frame_number.to_be_bytes());
        return Some(bytes.len());
    };
    let mut from = BitReader::new(bytes);
    from.read(24)?;
    let mut flags = if bytes.len() > MANDATORY_BYTES { Flags::read(&mut from)? } else { Flags::default() };
    let had_active_targets = std::mem::replace(&mut flags.has_active_targets, true);
    let mut to = BitWriter::new(target);
    to.write(first.into(), 8)?;
    to.write(rewrite.frame_number.into(), 16)?;
    flags.write(&mut to)?;
    if flags.has_structure {
        let mut end = from.clone();
        Structure::read(&mut end)?;
        let length = end.position() - from.position();
        to.copy(&mut from, length)?;
    }
    if had_active_targets {
        from.read(count.into())?;
    }
    to.write(mask, count.into())?;
    if flags.has_indications || flags.has_references || flags.has_chains {
        let left = from.left();
        to.copy(&mut from, left)?;
    }
    Some(to.bytes_written())
}

#[cfg(test)]
mod tests;
