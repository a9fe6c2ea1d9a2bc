//! When to ask a single-mode client to offer again, and how many lines it must add (`media_sections_requirement`,
//! `protocol.md` §2.6). Pure; driven by its deadline.

use std::time::{Duration, Instant};

use super::lines::{LineState, Lines, PerKind};

/// Changes are gathered that long: offers are dear for both sides.
const COALESCE: Duration = Duration::from_millis(100);
/// First repetition when a client does not react; doubles.
const FIRST_RETRY: Duration = Duration::from_secs(3);
const LAST_RETRY: Duration = Duration::from_secs(48);

#[derive(Debug)]
struct Asked {
    at: Instant,
    retry_after: Duration,
    /// Lines that the client will have when it has done as asked.
    expected: PerKind,
}

/// What a transport still has to ask of its client.
#[derive(Debug, Default)]
pub(super) struct Requirement {
    due: Option<Instant>,
    asked: Option<Asked>,
}

impl Requirement {
    /// Subscriptions or lines have changed.
    pub(super) fn note_change(&mut self, now: Instant, lines: &Lines) {
        if !needs_offer(lines) {
            self.due = None;
        } else if self.due.is_none() && (self.asked.is_none() || !self.missing(lines).is_zero()) {
            self.due = Some(now + COALESCE);
        }
    }

    /// An offer of the client was applied.
    pub(super) fn note_offer(&mut self, now: Instant, lines: &Lines) {
        let have = lines.count_all();
        if self.asked.as_ref().is_some_and(|asked| asked.expected.saturating_sub(have).is_zero()) {
            self.asked = None;
        }
        self.due = None;
        self.note_change(now, lines);
    }

    /// Further audio and video lines to ask for, when it is time.
    pub(super) fn poll(&mut self, now: Instant, lines: &Lines) -> Option<(usize, usize)> {
        let mut retry_after = FIRST_RETRY;
        if let Some(asked) = &self.asked
            && now >= asked.at + asked.retry_after
        {
            retry_after = (asked.retry_after * 2).min(LAST_RETRY);
            self.asked = None;
            self.due = Some(now);
        }
        self.due.filter(|due| now >= *due)?;
        self.due = None;
        if !needs_offer(lines) {
            self.asked = None;
            return None;
        }
        let missing = self.missing(lines);
        let expected = self.asked.as_ref().map_or(lines.count_all(), |asked| asked.expected).plus(missing);
        self.asked = Some(Asked { at: now, retry_after, expected });
        Some((missing.audio, missing.video))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let retry = self.asked.as_ref().map(|asked| asked.at + asked.retry_after);
        match (self.due, retry) {
            (Some(due), Some(retry)) => Some(due.min(retry)),
            (due, retry) => due.or(retry),
        }
    }

    /// Lines that nobody has asked for yet.
    fn missing(&self, lines: &Lines) -> PerKind {
        let coming = self
            .asked
            .as_ref()
            .map_or(PerKind::default(), |asked| asked.expected.saturating_sub(lines.count_all()));
        // A retiring line is free after the next offer and serves in the one after that.
        let usable = lines.count(|state| matches!(state, LineState::Free | LineState::Retiring { .. }));
        lines.count_waiting().saturating_sub(usable.plus(coming))
    }
}

fn needs_offer(lines: &Lines) -> bool {
    let retiring = lines.count(|state| matches!(state, LineState::Retiring { .. }));
    !lines.count_waiting().is_zero() || !retiring.is_zero()
}
