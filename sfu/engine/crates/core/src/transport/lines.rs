//! The m-lines on which one transport sends, and the subscriptions that wait for one. Pure bookkeeping: no SDP, no
//! association.
//!
//! A line serves one subscription at a time. When that ends, the line must be negotiated as inactive once before it can
//! serve another: clients announce a new track only when a line becomes active. Between the end of a subscription and
//! that, a line may fade: its last frames, the server's own, are still to be sent.

use std::collections::VecDeque;

use str0m::media::Mid;

use super::sending::Ssrcs;
use crate::command::MediaKind;

/// Index of a down track in its shard.
pub(crate) type DownIndex = usize;

/// What a line says about the down track that it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) down: DownIndex,
    pub(crate) kind: MediaKind,
    pub(crate) stream_id: Box<str>,
    pub(crate) track_sid: Box<str>,
    pub(crate) stereo: bool,
}

/// What a line is doing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineState {
    /// Inactive on both sides.
    Free,
    /// In our outstanding offer; `is_new` when that offer also adds the line.
    Offered { subscription: Subscription, is_new: bool },
    /// Negotiated: packets may flow.
    Bound(Subscription),
    /// Its subscription, which had a stream, ended; its last frames are still being sent.
    Fading(Subscription),
    /// Its subscription ended; not yet negotiated as inactive. `offered`: our outstanding offer says so.
    Retiring { offered: bool },
}

#[derive(Debug)]
pub(super) struct SendLine {
    pub(super) mid: Mid,
    pub(super) kind: MediaKind,
    pub(super) state: LineState,
    /// Under which we send on it; none while it serves nobody.
    pub(super) ssrcs: Option<Ssrcs>,
}

impl SendLine {
    /// The subscription that descriptions of ours name on this line.
    pub(super) fn subscription(&self) -> Option<&Subscription> {
        match &self.state {
            LineState::Offered { subscription, .. }
            | LineState::Bound(subscription)
            | LineState::Fading(subscription) => Some(subscription),
            LineState::Free | LineState::Retiring { .. } => None,
        }
    }

    /// The down track that the line serves or is to serve.
    pub(super) fn down(&self) -> Option<DownIndex> {
        match &self.state {
            LineState::Offered { subscription, .. } | LineState::Bound(subscription) => {
                Some(subscription.down)
            }
            LineState::Free | LineState::Fading(_) | LineState::Retiring { .. } => None,
        }
    }
}

/// Numbers per kind of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PerKind {
    pub(super) audio: usize,
    pub(super) video: usize,
}

impl PerKind {
    pub(super) fn of(mut count: impl FnMut(MediaKind) -> usize) -> Self {
        Self { audio: count(MediaKind::Audio), video: count(MediaKind::Video) }
    }

    pub(super) fn saturating_sub(self, other: Self) -> Self {
        Self { audio: self.audio.saturating_sub(other.audio), video: self.video.saturating_sub(other.video) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { audio: self.audio + other.audio, video: self.video + other.video }
    }

    pub(super) fn is_zero(self) -> bool {
        self == Self::default()
    }
}

/// Lines of one transport.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Vec<SendLine>,
    waiting: VecDeque<Subscription>,
}

impl Lines {
    pub(super) fn iter(&self) -> impl Iterator<Item = &SendLine> {
        self.lines.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut SendLine> {
        self.lines.iter_mut()
    }

    pub(super) fn get(&self, mid: Mid) -> Option<&SendLine> {
        self.lines.iter().find(|line| line.mid == mid)
    }

    pub(super) fn get_mut(&mut self, mid: Mid) -> Option<&mut SendLine> {
        self.lines.iter_mut().find(|line| line.mid == mid)
    }

    pub(super) fn push(&mut self, line: SendLine) {
        self.lines.push(line);
    }

    /// Removes lines for which `keep` is false and gives them back.
    pub(super) fn extract(&mut self, mut keep: impl FnMut(&SendLine) -> bool) -> Vec<SendLine> {
        let (kept, removed) = std::mem::take(&mut self.lines).into_iter().partition(|line| keep(line));
        self.lines = kept;
        removed
    }

    pub(super) fn wait(&mut self, subscription: Subscription) {
        self.waiting.push_back(subscription);
    }

    pub(super) fn wait_first(&mut self, subscription: Subscription) {
        self.waiting.push_front(subscription);
    }

    /// A waiting subscription has got its line.
    pub(super) fn end_waiting(&mut self, down: DownIndex) {
        self.waiting.retain(|subscription| subscription.down != down);
    }

    /// The waiting subscriptions of a kind, in order.
    pub(super) fn waiting(&self, kind: MediaKind) -> impl Iterator<Item = &Subscription> {
        self.waiting.iter().filter(move |subscription| subscription.kind == kind)
    }

    /// Those of them that may have a line now: no description may name one track on two lines, which clients do not
    /// survive, and a line that fades still has its name.
    pub(super) fn placeable(&self, kind: MediaKind) -> impl Iterator<Item = &Subscription> {
        self.waiting(kind).filter(|subscription| !self.fades(&subscription.track_sid))
    }

    /// Takes all waiting subscriptions that may have a line now.
    pub(super) fn take_placeable(&mut self) -> VecDeque<Subscription> {
        let (blocked, placeable) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| self.fades(&waiting.track_sid));
        self.waiting = blocked;
        placeable
    }

    /// Whether the last frames of a track are still being sent on a line.
    fn fades(&self, track_sid: &str) -> bool {
        let is_fading = |line: &SendLine| matches!(&line.state, LineState::Fading(ended) if *ended.track_sid == *track_sid);
        self.lines.iter().any(is_fading)
    }

    /// Ends a subscription. Gives the line that it had, which is now retiring.
    pub(super) fn end(&mut self, down: DownIndex) -> Option<Mid> {
        self.end_waiting(down);
        let line = self.lines.iter_mut().find(|line| line.down() == Some(down))?;
        line.state = LineState::Retiring { offered: false };
        Some(line.mid)
    }

    /// Ends a subscription whose line is to send its last frames. `None`: it has no stream.
    pub(super) fn fade(&mut self, down: DownIndex) -> Option<Mid> {
        let line = self.lines.iter_mut().find(|line| line.down() == Some(down))?;
        match std::mem::replace(&mut line.state, LineState::Free) {
            LineState::Bound(subscription) => {
                line.state = LineState::Fading(subscription);
                Some(line.mid)
            }
            state => {
                line.state = state;
                None
            }
        }
    }

    /// The last frames of a line are sent. False: it does not fade (any more).
    pub(super) fn end_fading(&mut self, mid: Mid) -> bool {
        let line = self.get_mut(mid).filter(|line| matches!(line.state, LineState::Fading(_)));
        line.map(|line| line.state = LineState::Retiring { offered: false }).is_some()
    }

    /// Whether packets may flow on a line.
    pub(super) fn is_sending(&self, mid: Mid) -> bool {
        self.get(mid).is_some_and(|line| matches!(line.state, LineState::Bound(_) | LineState::Fading(_)))
    }

    /// The down track whose packets flow on a line.
    pub(super) fn bound_down(&self, mid: Mid) -> Option<DownIndex> {
        match &self.get(mid)?.state {
            LineState::Bound(subscription) => Some(subscription.down),
            _ => None,
        }
    }

    pub(super) fn count_waiting(&self) -> PerKind {
        PerKind::of(|kind| self.waiting(kind).count())
    }

    pub(super) fn count_all(&self) -> PerKind {
        PerKind::of(|kind| self.lines.iter().filter(|line| line.kind == kind).count())
    }

    pub(super) fn count(&self, wanted: impl Fn(&LineState) -> bool) -> PerKind {
        PerKind::of(|kind| self.lines.iter().filter(|line| line.kind == kind && wanted(&line.state)).count())
    }
}
