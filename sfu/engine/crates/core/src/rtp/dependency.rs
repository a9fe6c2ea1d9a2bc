//! Dependency descriptor header extension (AV1 RTP specification, appendix A): reads what a forwarder needs.
//!
//! The first packet of a key frame carries the template structure; later packets name a template of it. This reader
//! keeps no structure: the caller keeps the [`Structure`] of the last descriptor that had one.

/// Most templates that a structure can have: template ids have six bits.
const MAX_TEMPLATES: usize = 64;
/// Most spatial layers (§A.8.2: two bits).
const MAX_SPATIAL: u8 = 4;
/// Most temporal layers (three bits).
const MAX_TEMPORAL: u8 = 8;

/// The mandatory fields and, when the packet has it, the structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencyDescriptor {
    /// First packet of its frame.
    pub starts_frame: bool,
    /// Last packet of its frame.
    pub ends_frame: bool,
    /// Template that describes the frame, by its id on the wire.
    pub template_id: u8,
    /// Number of the frame, all layers counted, wrapping at 16 bits.
    pub frame_number: u16,
    /// Bitmask of decode targets that are being produced, when the packet says so.
    pub active_decode_targets: Option<u32>,
    /// Template structure: this packet begins a key frame.
    pub structure: Option<Structure>,
}

/// Template structure of a coded video sequence, as far as layers go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Structure {
    /// Id of the first template.
    pub template_id_offset: u8,
    /// Number of decode targets, 1 to 32.
    pub decode_targets: u8,
    /// `(spatial, temporal)` of each template, in the order of their ids.
    pub layers: Vec<(u8, u8)>,
}

impl Structure {
    /// Layer of a template; `None` for an id that the structure does not have.
    #[must_use]
    pub fn layer_of(&self, template_id: u8) -> Option<(u8, u8)> {
        let index = template_id.wrapping_sub(self.template_id_offset) & 0x3f;
        self.layers.get(usize::from(index)).copied()
    }
}

impl DependencyDescriptor {
    /// Reads a descriptor; `None` when it is cut short or its structure is out of bounds.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(bytes);
        let mut descriptor = Self {
            starts_frame: bits.flag()?,
            ends_frame: bits.flag()?,
            template_id: u8::try_from(bits.read(6)?).ok()?,
            frame_number: u16::try_from(bits.read(16)?).ok()?,
            active_decode_targets: None,
            structure: None,
        };
        if bytes.len() == 3 {
            return Some(descriptor);
        }
        let has_structure = bits.flag()?;
        let has_active_targets = bits.flag()?;
        // Custom references of this one frame: they change no layer.
        bits.read(3)?;
        if has_structure {
            let structure = read_structure(&mut bits)?;
            descriptor.active_decode_targets = Some(u32::MAX >> (32 - u32::from(structure.decode_targets)));
            descriptor.structure = Some(structure);
        }
        if has_active_targets {
            let count = descriptor.structure.as_ref().map(|structure| u32::from(structure.decode_targets));
            // Without the structure the width of the mask is the caller's knowledge; we do not need it then.
            descriptor.active_decode_targets =
                count.map_or(Some(None), |count| bits.read(count).map(Some))?;
        }
        Some(descriptor)
    }
}

/// Decode target count and layer of each template (§A.8.3 `template_dependency_structure`); what follows is not read.
fn read_structure(bits: &mut BitReader<'_>) -> Option<Structure> {
    let template_id_offset = u8::try_from(bits.read(6)?).ok()?;
    let decode_targets = u8::try_from(bits.read(5)?).ok()? + 1;
    let (mut spatial, mut temporal) = (0, 0);
    let mut layers = vec![(0, 0)];
    loop {
        match bits.read(2)? {
            0 => {}
            1 => temporal += 1,
            2 => (spatial, temporal) = (spatial + 1, 0),
            _ => return Some(Structure { template_id_offset, decode_targets, layers }),
        }
        if layers.len() == MAX_TEMPLATES || spatial == MAX_SPATIAL || temporal == MAX_TEMPORAL {
            return None;
        }
        layers.push((spatial, temporal));
    }
}

/// Reads big-endian bit fields; never past the end.
#[derive(Debug)]
struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn flag(&mut self) -> Option<bool> {
        self.read(1).map(|bit| bit == 1)
    }

    /// Next `count` bits, at most 32.
    fn read(&mut self, count: u32) -> Option<u32> {
        let mut value: u32 = 0;
        for _ in 0..count {
            let byte = *self.bytes.get(self.at / 8)?;
            let bit = byte >> (7 - self.at % 8) & 1;
            value = value << 1 | u32::from(bit);
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes `(value, bits)` fields, padded to bytes.
    fn bits(fields: &[(u32, u32)]) -> Vec<u8> {
        let all: Vec<u32> = fields
            .iter()
            .flat_map(|(value, count)| (0..*count).rev().map(move |bit| value >> bit & 1))
            .collect();
        all.chunks(8)
            .map(|byte| byte.iter().enumerate().fold(0, |sum, (i, bit)| sum | u8::from(*bit == 1) << (7 - i)))
            .collect()
    }

    #[test]
    fn reads_the_mandatory_fields() {
        let descriptor = DependencyDescriptor::parse(&[0x80 | 0x05, 0x12, 0x34]).unwrap();
        assert_eq!((descriptor.starts_frame, descriptor.ends_frame), (true, false));
        assert_eq!((descriptor.template_id, descriptor.frame_number), (5, 0x1234));
        assert_eq!(descriptor.structure, None);
    }

    #[test]
    fn reads_a_structure() {
        // L2T2: templates S0T0, S0T1, S1T0, S1T1; offset 60, so that ids wrap.
        let bytes = bits(&[
            (1, 1),
            (1, 1),
            (60, 6),
            (1, 16),
            (1, 1),
            (0, 1),
            (0, 3),
            (60, 6),
            (3, 5),
            (1, 2),
            (0, 2),
            (2, 2),
            (1, 2),
            (3, 2),
        ]);
        let descriptor = DependencyDescriptor::parse(&bytes).unwrap();
        let structure = descriptor.structure.unwrap();
        assert_eq!(structure.layers, [(0, 0), (0, 1), (0, 1), (1, 0), (1, 1)]);
        assert_eq!(descriptor.active_decode_targets, Some(0b1111));
        assert_eq!(structure.layer_of(60), Some((0, 0)));
        assert_eq!(structure.layer_of(0), Some((1, 1)));
        assert_eq!(structure.layer_of(1), None);
    }

    #[test]
    fn refuses_what_is_cut_short_or_endless() {
        for length in 0..3 {
            assert_eq!(DependencyDescriptor::parse(&[0; 3][..length]), None);
        }
        let endless = [&[0x80, 0, 0, 0x80][..], &[0; 40]].concat();
        assert_eq!(DependencyDescriptor::parse(&endless), None);
        let too_many_layers = [&[0x80, 0, 0, 0x80][..], &[0xaa; 40]].concat();
        assert_eq!(DependencyDescriptor::parse(&too_many_layers), None);
    }
}
