//! Rewrites dependency descriptors so that the subscriber sees one run of frame numbers over changes of stream, and
//! hears which decode targets it is given.

use crate::rtp::dependency::{DependencyRewrite, Layer, PacketDependency};

/// State of one outgoing SSRC.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameNumbers {
    offset: u16,
    last: Option<u16>,
    /// Targets that the subscriber takes for active, and the frame (its own number) that said so.
    told: u32,
    told_by: u16,
}

impl FrameNumbers {
    /// Another run of frames begins with this one: it follows the last one sent.
    pub(super) const fn begin(&mut self, packet: &PacketDependency) {
        self.offset = match self.last {
            Some(last) => last.wrapping_add(1).wrapping_sub(packet.frame_number),
            None => 0,
        };
    }

    /// New numbers for a packet to a subscriber that gets `layer`.
    pub(super) fn rewrite(&mut self, packet: &PacketDependency, layer: Layer) -> DependencyRewrite {
        let frame_number = packet.frame_number.wrapping_add(self.offset);
        if self.last.is_none_or(|last| frame_number.wrapping_sub(last) < 1 << 15) {
            self.last = Some(frame_number);
        }
        let targets = &packet.targets;
        if packet.has_structure {
            self.told = targets.all(); // it says that all are, unless told otherwise
            self.told_by = frame_number.wrapping_sub(1);
        }
        let mask = packet.active_targets & targets.within(layer);
        if mask != self.told {
            self.told = mask;
            self.told_by = frame_number;
        }
        let is_telling = frame_number == self.told_by;
        DependencyRewrite { frame_number, active_targets: is_telling.then_some((mask, targets.count())) }
    }
}
