//! Layers inside a stream as its payload descriptors tell them: temporal ones of VP8 (RFC 7741 §4.2), spatial and
//! temporal ones of VP9 (RFC 9628 §4.2). Decides which of them the subscriber gets now, and when that may change.

use super::{LayerFacts, Packet};
use crate::rtp::dependency::Layer;

/// State of one down track.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PictureLayers {
    current: Layer,
    needs_key_frame: bool,
}

impl PictureLayers {
    /// Whether the subscriber gets a packet, given the most it may have.
    pub(super) fn admits(&mut self, packet: &Packet, facts: LayerFacts, limit: Layer) -> bool {
        if packet.starts_key_frame {
            *self = Self { current: limit, needs_key_frame: false };
        } else if facts.starts_frame {
            self.step(facts, limit);
        }
        facts.layer.spatial <= self.current.spatial && facts.layer.temporal <= self.current.temporal
    }

    /// Whether a packet is the last one of its picture that the subscriber gets.
    pub(super) const fn ends_picture(self, facts: LayerFacts) -> bool {
        facts.ends_frame && facts.layer.spatial == self.current.spatial
    }

    /// Whether only a key frame leads to the layers that the subscriber may have.
    pub(super) const fn needs_key_frame(self) -> bool {
        self.needs_key_frame
    }

    /// A frame of one layer begins, which is no key frame. All lower spatial layers are sent too, so that fewer are
    /// possible at any picture; more only from a key picture on.
    fn step(&mut self, facts: LayerFacts, limit: Layer) {
        let Layer { spatial, temporal } = facts.layer;
        if spatial == 0 {
            self.current.spatial = self.current.spatial.min(limit.spatial);
            self.current.temporal = self.current.temporal.min(limit.temporal);
            self.needs_key_frame &= self.current.spatial < limit.spatial;
            if facts.is_sync && temporal > self.current.temporal && temporal <= limit.temporal {
                self.current.temporal = temporal;
            }
        }
        if spatial > self.current.spatial && spatial <= limit.spatial {
            self.needs_key_frame = true;
        }
    }
}
