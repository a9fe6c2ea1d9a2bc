//! Pass or drop by the layers inside a stream, whichever way its packets tell them. Knows packets of one stream at a
//! time, not numbers.

use super::Packet;
use super::pictures::PictureLayers;
use super::targets::TargetSelector;
use crate::rtp::dependency::Layer;

/// State machine of one down track.
#[derive(Debug)]
pub(super) struct LayerFilter {
    limit: Layer,
    takes_descriptors: bool,
    pictures: PictureLayers,
    targets: TargetSelector,
}

impl LayerFilter {
    /// No limit. `takes_descriptors`: the subscriber's line carries the dependency descriptor.
    pub(super) fn new(takes_descriptors: bool) -> Self {
        Self {
            limit: Layer::MAX,
            takes_descriptors,
            pictures: PictureLayers::default(),
            targets: TargetSelector::default(),
        }
    }

    /// Most that the subscriber may have.
    pub(super) const fn set_limit(&mut self, limit: Layer) {
        self.limit = limit;
    }

    /// A stream begins, or the same one after a pause.
    pub(super) fn begin(&mut self) {
        self.pictures = PictureLayers::default();
        self.targets = TargetSelector::default();
    }

    /// Whether the subscriber gets a packet of the current stream.
    pub(super) fn admits(&mut self, packet: &Packet) -> bool {
        match (&packet.dependency, packet.layer) {
            (Some(dependency), _) => {
                let limit = self.limit_for(packet);
                self.targets.admits(dependency, packet.timestamp, limit)
            }
            (None, Some(facts)) => self.pictures.admits(packet, facts, self.limit),
            (None, None) => true,
        }
    }

    /// Whether a packet that is sent is the last one of its picture here.
    pub(super) fn ends_picture(&self, packet: &Packet) -> bool {
        match (&packet.dependency, packet.layer) {
            (Some(dependency), _) => self.targets.ends_picture(dependency),
            (None, Some(facts)) => self.pictures.ends_picture(facts),
            (None, None) => false,
        }
    }

    /// Layer that the subscriber gets, by dependency descriptors.
    pub(super) fn layer(&self) -> Layer {
        self.targets.layer()
    }

    /// Whether only a key frame of the current stream leads to what the subscriber may have.
    pub(super) const fn needs_key_frame(&self) -> bool {
        self.pictures.needs_key_frame() || self.targets.needs_key_frame()
    }

    /// Without descriptors a receiver of AV1 cannot tell spatial layers apart: it gets one.
    fn limit_for(&self, packet: &Packet) -> Layer {
        if packet.needs_descriptor && !self.takes_descriptors {
            Layer { spatial: 0, temporal: self.limit.temporal }
        } else {
            self.limit
        }
    }
}
