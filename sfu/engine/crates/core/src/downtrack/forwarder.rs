//! Pass or drop: video starts and switches only at key frames, audio anywhere. Knows streams, not numbers.

use super::Packet;
use crate::DropReason;
use crate::command::MediaKind;
use crate::layers::{StreamIndex, StreamSet};

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Goes on as before.
    Pass,
    /// First packet of a stream: numbers continue from what was sent before, if anything was.
    Begin,
    /// Of the current stream, but not for the subscriber: close the gap it leaves.
    Skip(DropReason),
    /// Not of the current stream.
    Drop(DropReason),
}

/// State machine of one down track.
#[derive(Debug)]
pub(super) struct Forwarder {
    kind: MediaKind,
    is_enabled: bool,
    is_paused: bool,
    current: Option<StreamIndex>,
}

impl Forwarder {
    /// Enabled, nothing forwarded yet.
    pub(super) const fn new(kind: MediaKind) -> Self {
        Self { kind, is_enabled: true, is_paused: false, current: None }
    }

    /// Stream being forwarded.
    pub(super) const fn current(&self) -> Option<StreamIndex> {
        self.current
    }

    /// Switches forwarding on or off; what comes after begins anew.
    pub(super) const fn set_enabled(&mut self, is_enabled: bool) {
        self.is_enabled = is_enabled;
        if !is_enabled {
            self.current = None;
        }
    }

    /// Pauses forwarding for want of rate, or ends that; what comes after begins anew.
    pub(super) const fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
        if is_paused {
            self.current = None;
        }
    }

    /// Forgets the current stream: the next packet (video: key frame) begins anew.
    pub(super) const fn restart(&mut self) {
        self.current = None;
    }

    /// Judges a packet, given the stream that the selector wants and those that are alive.
    pub(super) fn judge(&mut self, packet: &Packet, target: Option<StreamIndex>, live: StreamSet) -> Step {
        let is_current = self.current == Some(packet.stream);
        if !self.is_enabled {
            return Step::Drop(DropReason::DownTrackDisabled);
        }
        if self.is_paused {
            return Step::Drop(DropReason::DownTrackPaused);
        }
        if packet.is_padding {
            let reason = DropReason::PaddingOnly;
            return if is_current { Step::Skip(reason) } else { Step::Drop(reason) };
        }
        if is_current {
            return Step::Pass;
        }
        if self.may_begin(packet, target, live) {
            self.current = Some(packet.stream);
            return Step::Begin;
        }
        let is_playing = self.current.is_some_and(|current| live.contains(current));
        Step::Drop(if is_playing { DropReason::LayerNotSelected } else { DropReason::AwaitingKeyFrame })
    }

    /// The wanted stream may begin at its key frame. With nothing to play, a smaller one may too, until the wanted
    /// one has its key frame: a small picture now is better than a large one in a second.
    fn may_begin(&self, packet: &Packet, target: Option<StreamIndex>, live: StreamSet) -> bool {
        if self.kind == MediaKind::Audio {
            return true;
        }
        let is_playing = self.current.is_some_and(|current| live.contains(current));
        let is_wanted =
            target.is_none_or(|target| packet.stream == target || (!is_playing && packet.stream < target));
        packet.starts_key_frame && is_wanted
    }

    /// Stream from which a key frame is needed to get where the selector wants to be.
    pub(super) fn wanted_key_frame(&self, target: Option<StreamIndex>) -> Option<StreamIndex> {
        let needs_key_frame =
            self.is_enabled && !self.is_paused && self.kind == MediaKind::Video && self.current != target;
        target.filter(|_| needs_key_frame)
    }
}
