//! Keeps the template structure of one stream, so that its dependency descriptors can be read.

use crate::rtp::dependency::{DependencyDescriptor, PacketDependency, Structure};

/// Structure and active targets of one stream.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    structure: Option<Structure>,
    /// Number of the structure, another for each that differs.
    number: u32,
    active_targets: u32,
    /// Newest frame that said which targets are active.
    told_by: u16,
}

impl Dependencies {
    /// Another sequence will come, with a structure of its own.
    pub(super) fn forget(&mut self) {
        self.structure = None;
    }

    /// Reads the descriptor of one packet; `None` when it does not parse or the structure is not known (yet).
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<PacketDependency> {
        let descriptor = DependencyDescriptor::parse(bytes, self.structure.as_ref())?;
        let has_structure = descriptor.structure.is_some();
        if let Some(structure) = descriptor.structure
            && self.structure.as_ref() != Some(&structure)
        {
            self.number = self.number.wrapping_add(1);
            self.structure = Some(structure);
        }
        if let Some(active_targets) = descriptor.active_targets {
            // A packet that comes late says what is past.
            let is_news = descriptor.frame_number.wrapping_sub(self.told_by) < 1 << 15;
            if has_structure || is_news {
                self.active_targets = active_targets;
                self.told_by = descriptor.frame_number;
            }
        }
        Some(PacketDependency {
            starts_frame: descriptor.starts_frame,
            ends_frame: descriptor.ends_frame,
            has_structure,
            frame_number: descriptor.frame_number,
            structure: self.number,
            targets: *self.structure.as_ref()?.targets(),
            active_targets: self.active_targets,
            frame: descriptor.frame,
        })
    }
}
