//! What the router is told, as JSON: impairments, steps in time, the file of settings. Text to checked values; no logic.

use std::time::Duration;

use plenum_netem::{JitterShape, LinkConfig, QueueLimit};
use serde::Deserialize;

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SettingsError {
    /// No JSON, a key that does not exist, a value of another type.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A value outside its range.
    #[error("{key} must be {range}, not {value}")]
    Range {
        /// Where.
        key: &'static str,
        /// What is allowed.
        range: &'static str,
        /// What was given.
        value: f64,
    },
    /// Two keys that exclude each other.
    #[error("queue_ms and queue_bytes exclude each other")]
    TwoQueues,
}

/// Changes to one direction: keys that are absent stay as they are. Meanings: [`LinkConfig`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impairments {
    delay_ms: Option<f64>,
    jitter_ms: Option<f64>,
    jitter_shape: Option<Shape>,
    keeps_order: Option<bool>,
    loss_percent: Option<f64>,
    loss_burst_packets: Option<f64>,
    reorder_percent: Option<f64>,
    reorder_packets: Option<u32>,
    reorder_wait_ms: Option<f64>,
    duplicate_percent: Option<f64>,
    damage_percent: Option<f64>,
    /// 0: no limit.
    rate_bps: Option<u64>,
    queue_ms: Option<f64>,
    queue_bytes: Option<usize>,
    /// Not a state but an event: the link is down from now on for that long.
    blackout_ms: Option<f64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Shape {
    Uniform,
    Normal,
    Exponential,
}

impl From<Shape> for JitterShape {
    fn from(shape: Shape) -> Self {
        match shape {
            Shape::Uniform => Self::Uniform,
            Shape::Normal => Self::Normal,
            Shape::Exponential => Self::Exponential,
        }
    }
}

impl Impairments {
    /// Checks every value.
    fn check(&self) -> Result<(), SettingsError> {
        let percents = [
            ("loss_percent", self.loss_percent),
            ("reorder_percent", self.reorder_percent),
            ("duplicate_percent", self.duplicate_percent),
            ("damage_percent", self.damage_percent),
        ];
        for (key, value) in percents {
            in_range(key, value, 0.0..=100.0, "from 0 to 100")?;
        }
        let spans = [
            ("delay_ms", self.delay_ms),
            ("jitter_ms", self.jitter_ms),
            ("reorder_wait_ms", self.reorder_wait_ms),
            ("queue_ms", self.queue_ms),
            ("blackout_ms", self.blackout_ms),
        ];
        for (key, value) in spans {
            in_range(key, value, 0.0..=3_600_000.0, "from 0 to one hour")?;
        }
        in_range("loss_burst_packets", self.loss_burst_packets, 0.0..=1e6, "from 0 to 1000000")?;
        if self.queue_ms.is_some() && self.queue_bytes.is_some() {
            return Err(SettingsError::TwoQueues);
        }
        Ok(())
    }

    /// A direction's behaviour after the changes.
    pub(crate) fn applied_to(&self, before: LinkConfig) -> LinkConfig {
        let share = |percent: Option<f64>, before| percent.map_or(before, |percent| percent / 100.0);
        let span = |ms: Option<f64>, before| ms.map_or(before, span_of);
        let queue_time = self.queue_ms.map(|ms| QueueLimit::Time(span_of(ms)));
        LinkConfig {
            delay: span(self.delay_ms, before.delay),
            jitter: span(self.jitter_ms, before.jitter),
            jitter_shape: self.jitter_shape.map_or(before.jitter_shape, Into::into),
            keeps_order: self.keeps_order.unwrap_or(before.keeps_order),
            loss: share(self.loss_percent, before.loss),
            loss_burst_packets: self.loss_burst_packets.unwrap_or(before.loss_burst_packets),
            reorder: share(self.reorder_percent, before.reorder),
            reorder_packets: self.reorder_packets.unwrap_or(before.reorder_packets),
            reorder_wait: span(self.reorder_wait_ms, before.reorder_wait),
            duplication: share(self.duplicate_percent, before.duplication),
            damage: share(self.damage_percent, before.damage),
            rate_bps: self
                .rate_bps
                .map_or(before.rate_bps, |rate_bps| Some(rate_bps).filter(|rate| *rate > 0)),
            queue: queue_time.or(self.queue_bytes.map(QueueLimit::Bytes)).unwrap_or(before.queue),
        }
    }

    /// How long the link is to be down, if at all.
    pub(crate) fn blackout(&self) -> Option<Duration> {
        self.blackout_ms.map(span_of)
    }
}

/// Milliseconds that [`Impairments::check`] has seen.
fn span_of(ms: f64) -> Duration {
    Duration::from_secs_f64(ms / 1e3)
}

fn in_range(
    key: &'static str,
    value: Option<f64>,
    allowed: std::ops::RangeInclusive<f64>,
    range: &'static str,
) -> Result<(), SettingsError> {
    match value.filter(|value| !allowed.contains(value)) {
        Some(value) => Err(SettingsError::Range { key, range, value }),
        None => Ok(()),
    }
}

/// A change at a time: one line on standard input, or one of the file's `steps`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Milliseconds after the line `ready`; absent or past: at once.
    #[serde(default)]
    pub(crate) at_ms: u64,
    /// For both directions, before `up` and `down`.
    both: Option<Impairments>,
    up: Option<Impairments>,
    down: Option<Impairments>,
    /// Asks for a line of counters.
    #[serde(default)]
    pub(crate) counters: bool,
}

impl Step {
    /// Reads one line.
    pub(crate) fn parse(text: &str) -> Result<Self, SettingsError> {
        let step: Self = serde_json::from_str(text)?;
        step.check()?;
        Ok(step)
    }

    fn check(&self) -> Result<(), SettingsError> {
        [&self.both, &self.up, &self.down].into_iter().flatten().try_for_each(Impairments::check)
    }

    /// Changes for near → far, in order.
    pub(crate) fn up(&self) -> impl Iterator<Item = &Impairments> {
        self.both.iter().chain(&self.up)
    }

    /// Changes for far → near, in order.
    pub(crate) fn down(&self) -> impl Iterator<Item = &Impairments> {
        self.both.iter().chain(&self.down)
    }
}

/// The file of settings, or what the command line says in its place.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Seed of every choice; 1 when absent.
    pub(crate) seed: Option<u64>,
    /// Name of the device on the near side.
    pub(crate) near: Option<String>,
    /// Name of the device on the far side.
    pub(crate) far: Option<String>,
    both: Option<Impairments>,
    up: Option<Impairments>,
    down: Option<Impairments>,
    /// What changes later.
    #[serde(default)]
    steps: Vec<Step>,
}

impl Settings {
    /// Reads a file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings: Self = serde_json::from_str(text)?;
        settings.steps().iter().try_for_each(Step::check)?;
        Ok(settings)
    }

    /// All changes: what holds at first, then the steps.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let (both, up, down) = (self.both.clone(), self.up.clone(), self.down.clone());
        let first = Step { both, up, down, ..Step::default() };
        std::iter::once(first).chain(self.steps.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(text: &str) -> LinkConfig {
        let step = Step::parse(text).unwrap();
        step.up().fold(LinkConfig::default(), |config, change| change.applied_to(config))
    }

    #[test]
    fn every_key_reaches_the_link() {
        let config = up(r#"{"up": {"delay_ms": 12.5, "jitter_ms": 3, "jitter_shape": "exponential",
            "keeps_order": false, "loss_percent": 2, "loss_burst_packets": 4, "reorder_percent": 1,
            "reorder_packets": 7, "reorder_wait_ms": 60, "duplicate_percent": 0.5, "damage_percent": 0.1,
            "rate_bps": 300000, "queue_bytes": 9000}}"#);
        let expected = LinkConfig {
            delay: Duration::from_micros(12_500),
            jitter: Duration::from_millis(3),
            jitter_shape: JitterShape::Exponential,
            keeps_order: false,
            loss: 0.02,
            loss_burst_packets: 4.0,
            reorder: 0.01,
            reorder_packets: 7,
            reorder_wait: Duration::from_millis(60),
            duplication: 0.005,
            damage: 0.001,
            rate_bps: Some(300_000),
            queue: QueueLimit::Bytes(9_000),
        };
        assert_eq!(config, expected);
        let step = Step::parse(r#"{"at_ms": 7, "down": {"blackout_ms": 5000}}"#).unwrap();
        assert_eq!(step.at_ms, 7);
        let lengths: Vec<_> = step.down().filter_map(Impairments::blackout).collect();
        assert_eq!((lengths, step.up().count()), (vec![Duration::from_secs(5)], 0));
    }

    #[test]
    fn absent_keys_stay_as_they_are_and_both_comes_first() {
        let config =
            up(r#"{"both": {"delay_ms": 9, "loss_percent": 5, "queue_ms": 60}, "up": {"loss_percent": 1}}"#);
        assert_eq!((config.delay, config.loss), (Duration::from_millis(9), 0.01));
        assert_eq!(config.queue, QueueLimit::Time(Duration::from_millis(60)));
        let step = Step::parse(r#"{"up": {"rate_bps": 0}}"#).unwrap();
        let limited = LinkConfig { rate_bps: Some(1), ..config };
        let free = step.up().fold(limited, |config, change| change.applied_to(config));
        assert_eq!(free, LinkConfig { rate_bps: None, ..config });
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (text, named) in [
            ("loss 5", "expected"),
            (r#"{"up": {"los_percent": 5}}"#, "los_percent"),
            (r#"{"sideways": {}}"#, "sideways"),
            (r#"{"up": {"loss_percent": 101}}"#, "loss_percent"),
            (r#"{"down": {"delay_ms": -1}}"#, "delay_ms"),
            (r#"{"both": {"jitter_ms": 1e300}}"#, "jitter_ms"),
            (r#"{"both": {"rate_bps": -3}}"#, "-3"),
            (r#"{"up": {"queue_ms": 5, "queue_bytes": 5}}"#, "queue_bytes"),
            (r#"{"up": {"jitter_shape": "square"}}"#, "square"),
            (r#"{"at_ms": -5}"#, "-5"),
        ] {
            let error = Step::parse(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_gives_the_first_state_and_the_steps() {
        let text = r#"{"near": "a", "far": "b", "seed": 3, "up": {"delay_ms": 1},
            "steps": [{"at_ms": 5000, "both": {"blackout_ms": 5000}}]}"#;
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.seed, Some(3));
        let times: Vec<_> = settings.steps().iter().map(|step| step.at_ms).collect();
        assert_eq!(times, [0, 5000]);
        assert!(Settings::parse(r#"{"steps": [{"up": {"loss_percent": -1}}]}"#).is_err());
    }
}
