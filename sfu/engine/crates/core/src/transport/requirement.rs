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

    /// The client restarted ICE: it was away and has heard nothing of what was asked. Its offer is noted next.
    pub(super) fn note_restart(&mut self) {
        self.asked = None;
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
        // A retiring line is free after the next offer and serves in the one after that; a fading one retires soon.
        let usable = lines.count(|state| {
            matches!(state, LineState::Free | LineState::Fading(_) | LineState::Retiring { .. })
        });
        lines.count_waiting().saturating_sub(usable.plus(coming))
    }
}

fn needs_offer(lines: &Lines) -> bool {
    let retiring = lines.count(|state| matches!(state, LineState::Retiring { .. }));
    let fading = lines.count(|state| matches!(state, LineState::Fading(_)));
    !lines.count_waiting().saturating_sub(fading).is_zero() || !retiring.is_zero()
}

#[cfg(test)]
mod tests {
    use str0m::media::Mid;

    use super::super::lines::{SendLine, Subscription};
    use super::*;
    use crate::command::MediaKind;

    fn subscription(down: usize, kind: MediaKind) -> Subscription {
        Subscription { down, kind, stream_id: "PA_a|TR_b".into(), track_sid: "TR_b".into(), stereo: false }
    }

    fn line(mid: &str, state: LineState) -> SendLine {
        SendLine { mid: Mid::from(mid), kind: MediaKind::Video, state, ssrcs: None }
    }

    #[test]
    fn changes_are_gathered_and_only_what_is_missing_is_asked_for() {
        let start = Instant::now();
        let (mut lines, mut requirement) = (Lines::default(), Requirement::default());
        lines.push(line("0", LineState::Free));
        for down in 0..3 {
            lines.wait(subscription(down, MediaKind::Video));
            requirement.note_change(start + COALESCE / 10, &lines);
        }
        lines.wait(subscription(3, MediaKind::Audio));
        requirement.note_change(start + COALESCE / 2, &lines);
        assert_eq!(requirement.poll(start + COALESCE, &lines), None);
        assert_eq!(requirement.poll(start + COALESCE * 2, &lines), Some((1, 2)));
        lines.wait(subscription(4, MediaKind::Audio));
        requirement.note_change(start + COALESCE * 3, &lines);
        assert_eq!(requirement.poll(start + COALESCE * 4, &lines), Some((1, 0)), "only what came since");
        assert_eq!(requirement.poll(start + COALESCE * 5, &lines), None);
    }

    #[test]
    fn a_line_that_fits_only_needs_another_offer() {
        let start = Instant::now();
        for (state, waits) in [(LineState::Free, true), (LineState::Retiring { offered: false }, false)] {
            let (mut lines, mut requirement) = (Lines::default(), Requirement::default());
            lines.push(line("0", state));
            if waits {
                lines.wait(subscription(0, MediaKind::Video));
            }
            requirement.note_change(start, &lines);
            assert_eq!(requirement.poll(start + COALESCE, &lines), Some((0, 0)));
        }
    }

    #[test]
    fn a_client_that_does_nothing_is_asked_again_ever_more_seldom() {
        let start = Instant::now();
        let (mut lines, mut requirement) = (Lines::default(), Requirement::default());
        lines.wait(subscription(0, MediaKind::Audio));
        requirement.note_change(start, &lines);
        let mut asked = Vec::new();
        for seconds in 0..60 {
            let now = start + COALESCE + Duration::from_secs(seconds);
            if requirement.poll(now, &lines).is_some() {
                asked.push(seconds);
            }
        }
        assert_eq!(asked, [0, 3, 9, 21, 45]);
        assert!(requirement.deadline().is_some());
        lines.end(0);
        requirement.note_change(start + Duration::from_secs(61), &lines);
        assert_eq!(requirement.poll(start + Duration::from_secs(600), &lines), None);
        assert_eq!(requirement.deadline(), None, "nothing is wanted any more");
    }

    #[test]
    fn a_client_that_was_away_is_asked_again_at_once() {
        let start = Instant::now();
        let (mut lines, mut requirement) = (Lines::default(), Requirement::default());
        lines.wait(subscription(0, MediaKind::Video));
        requirement.note_change(start, &lines);
        for seconds in 1..=21 {
            requirement.poll(start + Duration::from_secs(seconds), &lines);
        }
        let back = start + Duration::from_secs(22);
        requirement.note_restart();
        requirement.note_offer(back, &lines);
        assert_eq!(requirement.poll(back + COALESCE, &lines), Some((0, 1)));
    }

    #[test]
    fn an_offer_that_was_under_way_does_not_count_as_the_answer() {
        let start = Instant::now();
        let (mut lines, mut requirement) = (Lines::default(), Requirement::default());
        lines.wait(subscription(0, MediaKind::Video));
        requirement.note_change(start, &lines);
        assert_eq!(requirement.poll(start + COALESCE, &lines), Some((0, 1)));
        requirement.note_offer(start + COALESCE, &lines); // without the new line
        assert_eq!(requirement.poll(start + COALESCE * 3, &lines), None, "it is still coming");
        lines.end_waiting(0);
        lines.push(line("0", LineState::Bound(subscription(0, MediaKind::Video))));
        requirement.note_offer(start + COALESCE * 4, &lines);
        assert_eq!(requirement.deadline(), None);
    }
}
