//! The command line of `plenum-netem`.

use lexopt::prelude::*;

use crate::error::RouterError;
use crate::settings::{Settings, Step};

/// What is to be run.
#[derive(Debug)]
pub(crate) struct Arguments {
    /// Device of the near side.
    pub(crate) near: String,
    /// Device of the far side.
    pub(crate) far: String,
    /// Seed of every choice.
    pub(crate) seed: u64,
    /// Changes, in the order in which they were given.
    pub(crate) steps: Vec<Step>,
}

impl Arguments {
    /// Text for `--help`.
    pub(crate) const HELP: &str = r#"plenum-netem: an emulated link between two network namespaces

Makes two TUN devices and carries packets from one to the other: near to far is "up", far to near "down". Move each
device into a namespace once the line "ready" has come; both keep working.

  --near NAME --far NAME    the devices; required, here or in the file
  --settings FILE           JSON: {"near": …, "far": …, "seed": …, "up": {…}, "down": {…}, "both": {…}, "steps": […]}
  --up JSON --down JSON --both JSON    impairments from the start, after those of the file
  --seed N                  seed of every choice (1)

Impairments, all optional; what is absent stays as it is:
  delay_ms jitter_ms        jitter_shape: uniform (0 to jitter added), normal (deviation), exponential (mean added)
  keeps_order               true: jitter lets no packet overtake another
  loss_percent              loss_burst_packets: mean number lost in a row; below 1: independent
  rate_bps (0: no limit)    queue_ms or queue_bytes: what may wait before it
  reorder_percent           reorder_packets: how many overtake; reorder_wait_ms: at the longest
  duplicate_percent         damage_percent: one byte changed
  blackout_ms               down from then on for that long

Lines of JSON on standard input change them: {"at_ms": since "ready", "up": {…}, "down": {…}, "both": {…}}; without at_ms
at once. {"counters": true} asks for a line of counters. Ends with the input or by SIGTERM or SIGINT; when the input is a file
or /dev/null, by a signal alone. Lines of JSON on standard output: ready, counters, refused, end."#;

    /// Reads the process's arguments; `None` when help is asked for.
    pub(crate) fn from_environment() -> Result<Option<Self>, RouterError> {
        Self::parse(&mut lexopt::Parser::from_env())
    }

    fn parse(parser: &mut lexopt::Parser) -> Result<Option<Self>, RouterError> {
        let mut settings = Settings::default();
        let (mut near, mut far, mut seed, mut later) = (None, None, None, Vec::new());
        while let Some(argument) = parser.next()? {
            match argument {
                Long("help") | Short('h') => return Ok(None),
                Long("near") => near = Some(parser.value()?.string()?),
                Long("far") => far = Some(parser.value()?.string()?),
                Long("seed") => seed = Some(parser.value()?.parse()?),
                Long("settings") => settings = Settings::parse(&std::fs::read_to_string(parser.value()?)?)?,
                Long(side @ ("up" | "down" | "both")) => {
                    let key = side.to_owned();
                    later.push(Step::parse(&format!("{{\"{key}\": {}}}", parser.value()?.string()?))?);
                }
                _ => return Err(argument.unexpected().into()),
            }
        }
        let mut steps = settings.steps();
        // At the time of the file's first state, which comes before them.
        steps.splice(1..1, later);
        Ok(Some(Self {
            near: near.or(settings.near).ok_or(RouterError::NoDevice { side: "near" })?,
            far: far.or(settings.far).ok_or(RouterError::NoDevice { side: "far" })?,
            seed: seed.or(settings.seed).unwrap_or(1),
            steps,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Arguments>, RouterError> {
        Arguments::parse(&mut lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn options_are_read_in_their_order() {
        let up = r#"{"delay_ms": 5}"#;
        let arguments = parse(&["--near", "a", "--far=b", "--seed", "9", "--up", up, "--both", "{}"]);
        let arguments = arguments.unwrap().unwrap();
        assert_eq!((arguments.near.as_str(), arguments.far.as_str(), arguments.seed), ("a", "b", 9));
        let counts: Vec<_> =
            arguments.steps.iter().map(|step| (step.up().count(), step.down().count())).collect();
        assert_eq!(counts, [(0, 0), (1, 0), (1, 1)]);
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for arguments in [
            &["--near", "a"] as &[&str],
            &["--far", "b"],
            &["--near", "a", "--far", "b", "--up", "loss"],
            &["--near", "a", "--far", "b", "--wings"],
            &["--near", "a", "--far", "b", "--settings", "/there/is/none"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
