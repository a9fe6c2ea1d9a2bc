//! Picks a decode target by the dependency descriptors (AV1 RTP specification §A.4): which frames the subscriber gets,
//! and where that may change. Knows frames, not packets or streams.
//!
//! Another target begins at a frame that says so (`S`) and needs nothing that was not sent. That covers key frames,
//! temporal layers, and spatial layers in both directions, whatever depends on what in the publisher's structure.

use crate::rtp::dependency::{DecodeTargets, Layer, PacketDependency};

/// Frames remembered: a reference goes hardly further back.
const HISTORY: u16 = 128;

/// State of one down track.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TargetSelector {
    current: Option<Target>,
    /// Structure of which the current target is one.
    structure: u32,
    newest: Option<u16>,
    /// Bit n: the frame n before the newest one.
    seen: u128,
    sent: u128,
    /// Timestamp of the picture that is complete for the subscriber: it gets no higher layer of that one.
    complete: Option<u32>,
    needs_key_frame: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Target {
    index: u8,
    layer: Layer,
}

impl TargetSelector {
    /// Whether the subscriber gets a packet of the picture with this timestamp, given the most it may have.
    pub(super) fn admits(&mut self, packet: &PacketDependency, timestamp: u32, limit: Layer) -> bool {
        let Some(newest) = self.newest else { return self.judge(packet, timestamp, limit) };
        let ahead = packet.frame_number.wrapping_sub(newest);
        if ahead == 0 {
            return self.sent & 1 != 0;
        }
        if ahead < 1 << 15 {
            let shift = u32::from(ahead);
            self.seen = self.seen.checked_shl(shift).unwrap_or(0);
            self.sent = self.sent.checked_shl(shift).unwrap_or(0);
            return self.judge(packet, timestamp, limit);
        }
        self.judge_late(packet, newest.wrapping_sub(packet.frame_number))
    }

    /// Layer that the subscriber gets.
    pub(super) fn layer(&self) -> Layer {
        self.current.map(|current| current.layer).unwrap_or_default()
    }

    /// Whether a packet is the last one of its picture that the subscriber gets.
    pub(super) fn ends_picture(&self, packet: &PacketDependency) -> bool {
        packet.ends_frame && packet.frame.layer.spatial == self.layer().spatial
    }

    /// Whether only a key frame leads to what the subscriber may have.
    pub(super) const fn needs_key_frame(&self) -> bool {
        self.needs_key_frame
    }

    /// The newest frame so far: the target may change with it.
    fn judge(&mut self, packet: &PacketDependency, timestamp: u32, limit: Layer) -> bool {
        self.newest = Some(packet.frame_number);
        if self.structure != packet.structure {
            self.structure = packet.structure;
            self.current = None; // another sequence: nothing before it counts
        }
        self.consider(packet, timestamp, limit);
        let is_sent = self.current.is_some_and(|current| packet.frame.indications.has(current.index));
        self.seen |= 1;
        self.sent |= u128::from(is_sent);
        if is_sent && packet.frame.layer.spatial == self.layer().spatial {
            self.complete = Some(timestamp);
        }
        is_sent
    }

    /// A frame of which later ones came first: whole, or packets of one that was judged.
    fn judge_late(&mut self, packet: &PacketDependency, behind: u16) -> bool {
        if behind >= HISTORY || self.structure != packet.structure {
            return false;
        }
        let bit = 1 << behind;
        if self.seen & bit == 0 {
            self.seen |= bit;
            if self.current.is_some_and(|current| packet.frame.indications.has(current.index)) {
                self.sent |= bit;
            }
        }
        self.sent & bit != 0
    }

    /// Changes the target where this frame allows what the subscriber may have.
    fn consider(&mut self, packet: &PacketDependency, timestamp: u32, limit: Layer) {
        let allowed = allowed(&packet.targets, packet.active_targets, limit);
        let Some(best) = best(&packet.targets, allowed) else { return };
        if self.current == Some(best) {
            self.needs_key_frame = false;
            return;
        }
        let comes_too_late =
            self.complete == Some(timestamp) && packet.frame.layer.spatial > self.layer().spatial;
        if packet.frame.references.are_in(self.sent >> 1) && !comes_too_late {
            self.join(packet, allowed, best);
        }
        if self.current.is_some_and(|current| current.layer.spatial == best.layer.spatial) {
            self.needs_key_frame = false;
        } else if packet.frame.layer == (Layer { spatial: best.layer.spatial, temporal: 0 }) {
            // Here the wanted layer goes on, and could not be joined.
            self.needs_key_frame = true;
        }
    }

    /// Begins the highest target that this frame begins. Only one of the wanted spatial layer, or any at the start: a
    /// lower one is no step on the way, for the picture would seem to end there.
    fn join(&mut self, packet: &PacketDependency, allowed: u32, best: Target) {
        let begins = |target: &Target| {
            packet.frame.indications.is_switch(target.index)
                && (self.current.is_none() || target.layer.spatial == best.layer.spatial)
        };
        let stays = self.current.filter(|current| allowed >> current.index & 1 == 1);
        let next = indexed(&packet.targets, allowed).filter(begins).max_by_key(|target| target.layer);
        if let Some(next) = next.filter(|next| stays.is_none_or(|stays| next.layer > stays.layer)) {
            self.current = Some(next);
        }
    }
}

/// Bitmask of the targets that the subscriber may have. When only such above its limit are produced, the lowest of
/// them: a picture too large is better than none.
fn allowed(targets: &DecodeTargets, active: u32, limit: Layer) -> u32 {
    let active = active & targets.all();
    let within = targets.within(limit) & active;
    if within != 0 {
        return within;
    }
    let lowest = indexed(targets, active).min_by_key(|target| target.layer);
    lowest.map_or(0, |target| 1 << target.index)
}

/// Highest target of a bitmask.
fn best(targets: &DecodeTargets, mask: u32) -> Option<Target> {
    indexed(targets, mask).max_by_key(|target| target.layer)
}

fn indexed(targets: &DecodeTargets, mask: u32) -> impl Iterator<Item = Target> {
    let targets = (0..).zip(targets.layers()).map(|(index, layer)| Target { index, layer: *layer });
    targets.filter(move |target| mask >> target.index & 1 == 1)
}
