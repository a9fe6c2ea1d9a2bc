//! How well media gets through, as people would say it (`protocol.md` §4.12): a score from 0 to 100 for each track and
//! window of time, from losses and missing layers. Pure arithmetic; knows no packet, clock or participant.
//!
//! The numbers are those of the reference, whose users know what to expect: round-trip time, jitter and bit rate are
//! measured there too, but do not count. One thing differs: losses weigh less while a track sends little (silence with
//! DTX, a still picture) by comparison with the most it has sent lately, not with its commonest rate.

use crate::rtp::Codec;

const BEST: f32 = 100.0;
/// Below that a score does not sink by losses, so that it need not climb for minutes afterwards.
const FLOOR: f32 = 30.0;
/// Highest scores of the ratings below `Excellent`.
const GOOD_UP_TO: f32 = 80.0;
const POOR_UP_TO: f32 = 40.0;
const LOST_UP_TO: f32 = 20.0;
/// Share of a better window in the new score, and of a worse one: trust is lost faster than won.
const RISE: f32 = 0.4;
const FALL: f32 = 0.8;
/// What each missing spatial layer takes off: about one rating.
const LAYER_WEIGHT: f32 = 35.0;
/// What is left of the highest packet rate with each window.
const RATE_MEMORY: f32 = 0.95;

/// How a participant's connection is rated (`livekit.ConnectionQuality`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quality {
    /// Nothing comes through.
    Lost,
    /// Media suffers much.
    Poor,
    /// Media suffers.
    Good,
    /// As it should be.
    Excellent,
}

impl Quality {
    /// All of them, the worst first.
    pub const ALL: [Self; 4] = [Self::Lost, Self::Poor, Self::Good, Self::Excellent];

    /// Stable lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Poor => "poor",
            Self::Good => "good",
            Self::Excellent => "excellent",
        }
    }
}

/// A score from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Score(f32);

impl Score {
    /// Of whom nothing is known, or who has no media.
    pub(crate) const BEST: Self = Self(BEST);
    /// Of whom nothing is heard.
    pub(crate) const LOST: Self = Self(LOST_UP_TO);

    pub(crate) fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The rating in words.
    pub(crate) fn quality(self) -> Quality {
        match self.0 {
            score if score > GOOD_UP_TO => Quality::Excellent,
            score if score > POOR_UP_TO => Quality::Good,
            score if score > LOST_UP_TO => Quality::Poor,
            _ => Quality::Lost,
        }
    }

    /// As a mean opinion score, 1 to 4.5 (ITU-T G.107 Annex B).
    pub(crate) fn mos(self) -> f32 {
        let r = self.0.clamp(0.0, BEST);
        1.0 + 0.035 * r + 0.000_007 * r * (r - 60.0) * (100.0 - r)
    }
}

/// Packets of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Losses {
    /// That should have come.
    pub(crate) expected: u32,
    /// Of those, that did not.
    pub(crate) lost: u32,
}

/// What one window showed of a track.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Window {
    /// It is not meant to send: muted, switched off, or watched by nobody.
    Held,
    /// It is not sent for want of bandwidth.
    Paused,
    /// Nothing new is known.
    Unknown,
    /// It is meant to send and does not.
    Dry,
    /// Nothing at all came from its other end.
    Silent,
    /// It sends.
    Flowed {
        losses: Losses,
        /// What a percent of losses takes off.
        loss_weight: f32,
        packets_per_s: f32,
        /// Spatial layers below the one that should come, at the end of the window.
        missing_layers: u8,
    },
}

/// Points that one percent of lost packets takes off.
pub(crate) const fn loss_weight(codec: Codec) -> f32 {
    match codec {
        // Each packet holds a coarse copy of the one before it (in-band FEC, which is always negotiated).
        Codec::Opus => 8.0 / 1.5,
        // Every second packet in a row may be missing.
        Codec::Red => 4.0 / 1.5,
        _ => 10.0,
    }
}

/// The score of one track, from window to window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scorer {
    score: Score,
    /// The last window was not one that counts: the track begins in the midst of the next.
    was_held: bool,
    missing_layers: u8,
    most_packets_per_s: f32,
}

impl Default for Scorer {
    fn default() -> Self {
        Self { score: Score::BEST, was_held: false, missing_layers: 0, most_packets_per_s: 0.0 }
    }
}

impl Scorer {
    /// Ends a window; the score after it.
    pub(crate) fn rate(&mut self, window: Window) -> Score {
        let was_held = std::mem::replace(&mut self.was_held, matches!(window, Window::Held | Window::Paused));
        match window {
            Window::Held if self.score != Score::LOST => self.score = Score::BEST,
            Window::Paused if !was_held => self.score = Score(FLOOR),
            Window::Silent => self.score = Score::LOST,
            Window::Dry if !was_held => self.score = Score(POOR_UP_TO),
            Window::Flowed { losses, loss_weight, packets_per_s, missing_layers } if !was_held => {
                let by_loss = BEST - share_percent(losses) * loss_weight * self.fullness(packets_per_s);
                let by_layers = BEST - LAYER_WEIGHT * f32::from(self.lasting(missing_layers));
                self.approach(by_loss.min(by_layers).max(0.0));
            }
            _ => {}
        }
        if self.was_held {
            self.missing_layers = 0;
        }
        self.score
    }

    /// Layers that were missing at both ends of the window: a switch under way is no trouble.
    fn lasting(&mut self, missing_layers: u8) -> u8 {
        std::mem::replace(&mut self.missing_layers, missing_layers).min(missing_layers)
    }

    /// Weight of losses at this packet rate, up to 1.
    fn fullness(&mut self, packets_per_s: f32) -> f32 {
        self.most_packets_per_s = packets_per_s.max(self.most_packets_per_s * RATE_MEMORY);
        if self.most_packets_per_s > 0.0 { (packets_per_s / self.most_packets_per_s).sqrt() } else { 1.0 }
    }

    fn approach(&mut self, score: f32) {
        let Score(before) = self.score;
        let share = if score < before { FALL } else { RISE };
        self.score = Score((share * score + (1.0 - share) * before).max(FLOOR));
    }
}

fn share_percent(losses: Losses) -> f32 {
    if losses.expected == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a share of two counts")]
    let share = losses.lost.min(losses.expected) as f32 / losses.expected as f32;
    share * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(loss_percent: u32, missing_layers: u8) -> Window {
        Window::Flowed {
            losses: Losses { expected: 1_000, lost: loss_percent * 10 },
            loss_weight: 10.0,
            packets_per_s: 200.0,
            missing_layers,
        }
    }

    fn rated(windows: &[Window]) -> Score {
        let mut scorer = Scorer::default();
        windows.iter().fold(Score::BEST, |_, window| scorer.rate(*window))
    }

    #[test]
    fn losses_take_off_by_codec() {
        // Percent of losses up to which one window from the best is still excellent, and still good.
        for (codec, excellent, good) in
            [(Codec::Opus, 4.6, 14.0), (Codec::Red, 9.3, 28.0), (Codec::Vp8, 2.4, 7.4)]
        {
            let after = |percent: f32| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                let lost = (percent * 100.0) as u32;
                let losses = Losses { expected: 10_000, lost };
                let loss_weight = loss_weight(codec);
                rated(&[Window::Flowed { losses, loss_weight, packets_per_s: 50.0, missing_layers: 0 }])
                    .quality()
            };
            assert_eq!(after(excellent), Quality::Excellent, "{codec:?}");
            assert_eq!(after(excellent + 0.2), Quality::Good, "{codec:?}");
            assert_eq!(after(good), Quality::Good, "{codec:?}");
            assert_eq!(after(good + 0.2), Quality::Poor, "{codec:?}");
        }
    }

    #[test]
    fn a_score_falls_faster_than_it_rises_and_not_without_end() {
        let mut scorer = Scorer::default();
        assert_eq!(scorer.rate(flow(0, 0)), Score::BEST);
        assert_eq!(scorer.rate(flow(5, 0)), Score(0.8 * 50.0 + 0.2 * 100.0));
        assert_eq!(scorer.rate(flow(100, 0)), Score(FLOOR), "lost packets are not a lost connection");
        let climb: Vec<Quality> = (0..4).map(|_| scorer.rate(flow(0, 0)).quality()).collect();
        assert_eq!(climb, [Quality::Good, Quality::Good, Quality::Excellent, Quality::Excellent]);
    }

    #[test]
    fn a_missing_layer_counts_when_it_stays_away() {
        assert_eq!(rated(&[flow(0, 2)]), Score::BEST, "a switch may be under way");
        assert_eq!(rated(&[flow(0, 2), flow(0, 0)]), Score::BEST);
        assert_eq!(rated(&[flow(0, 1), flow(0, 2)]).quality(), Quality::Good);
        assert_eq!(rated(&[flow(0, 2), flow(0, 2), flow(0, 2)]).quality(), Quality::Poor);
        assert_eq!(
            rated(&[flow(0, 1), Window::Held, flow(0, 1), flow(0, 1)]),
            Score::BEST,
            "forgotten by a mute"
        );
    }

    #[test]
    fn what_is_held_is_not_judged() {
        assert_eq!(rated(&[flow(100, 0), Window::Held]), Score::BEST);
        assert_eq!(rated(&[Window::Held, flow(100, 0)]), Score::BEST, "it began in the midst of the window");
        assert_eq!(rated(&[Window::Held, Window::Dry]), Score::BEST);
        assert_eq!(rated(&[Window::Held, flow(0, 0), flow(100, 0)]), Score(FLOOR));
        assert_eq!(rated(&[Window::Silent, Window::Held]), Score::LOST, "to mute is no cure");
    }

    #[test]
    fn a_pause_is_poor_and_mends_slowly() {
        assert_eq!(rated(&[Window::Paused]).quality(), Quality::Poor);
        assert_eq!(rated(&[Window::Paused, Window::Paused]).quality(), Quality::Poor);
        let climb = [Window::Paused, flow(0, 0), flow(0, 0), flow(0, 0)];
        assert_eq!(rated(&climb[..3]).quality(), Quality::Good);
        assert_eq!(rated(&climb).quality(), Quality::Good);
    }

    #[test]
    fn nothing_is_poor_and_silence_is_lost() {
        assert_eq!(rated(&[Window::Dry]).quality(), Quality::Poor);
        assert_eq!(rated(&[Window::Silent]).quality(), Quality::Lost);
        assert_eq!(rated(&[Window::Silent, Window::Unknown]).quality(), Quality::Lost);
        assert_eq!(rated(&[Window::Silent, flow(0, 0), flow(0, 0)]).quality(), Quality::Good);
    }

    #[test]
    fn losses_weigh_less_when_little_is_sent() {
        let silence = Window::Flowed {
            losses: Losses { expected: 10, lost: 1 },
            loss_weight: 8.0 / 1.5,
            packets_per_s: 2.0,
            missing_layers: 0,
        };
        let speech = Window::Flowed {
            losses: Losses::default(),
            loss_weight: 8.0 / 1.5,
            packets_per_s: 50.0,
            missing_layers: 0,
        };
        assert_eq!(rated(&[silence]).quality(), Quality::Good, "no more is known of it");
        assert_eq!(rated(&[speech, silence]).quality(), Quality::Excellent);
    }

    #[test]
    fn opinion_scores_run_from_1_to_4_5() {
        assert!((Score(0.0).mos() - 1.0).abs() < 1e-6 && (Score::BEST.mos() - 4.5).abs() < 1e-6);
        let scores: Vec<f32> = (0_u8..=100).map(|score| Score(f32::from(score)).mos()).collect();
        assert!(scores.iter().skip(10).is_sorted());
    }

    #[test]
    fn counts_of_liars_do_no_harm() {
        assert!(share_percent(Losses { expected: 0, lost: 9 }).abs() < f32::EPSILON);
        assert!((share_percent(Losses { expected: 1, lost: u32::MAX }) - 100.0).abs() < f32::EPSILON);
    }
}
