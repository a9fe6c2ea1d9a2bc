//! What a shard has to say for the log: warnings and errors of ours, and panics, as events to the control plane, which
//! owns the log. Never writes anywhere itself; lines of other crates, which any peer can provoke, are not taken.

use std::fmt::{self, Write as _};
use std::sync::{Arc, Once};

use plenum_core::{Event, LogLevel};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::DefaultGuard;
use tracing::{Level, Metadata, Subscriber};

use crate::event_ring::EventRing;

/// Names of the threads whose panics are caught and belong in the log.
pub(crate) const SHARD_THREAD_PREFIX: &str = "plenum-shard-";
/// Crates whose lines are taken.
const OUR_TARGETS: &str = "plenum";

/// Sends this thread's lines to `ring` until the guard is dropped, its panics included.
pub(crate) fn attach(shard: u16, ring: Arc<EventRing>) -> DefaultGuard {
    static QUIETED: Once = Once::new();
    QUIETED.call_once(quiet_shard_panics);
    tracing::subscriber::set_default(EventLog { shard, ring })
}

/// A panic on a shard's thread is caught there. By default its message would go to standard error all the same.
fn quiet_shard_panics() {
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !std::thread::current().name().is_some_and(|name| name.starts_with(SHARD_THREAD_PREFIX)) {
            return others(panic);
        }
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let message = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, cause = message, "panicked");
    }));
}

#[derive(Debug)]
struct EventLog {
    shard: u16,
    ring: Arc<EventRing>,
}

impl Subscriber for EventLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN && metadata.target().starts_with(OUR_TARGETS)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let level =
            if *event.metadata().level() == Level::ERROR { LogLevel::Error } else { LogLevel::Warning };
        let mut line = Line::default();
        event.record(&mut line);
        let text = line.message + &line.fields;
        self.ring.push(&mut vec![Event::Logged { shard: self.shard, level, text }]);
    }

    // There are no spans of ours, and those of others are not enabled.
    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

/// One event as text.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    /// What a shard's thread sends while it runs `work`.
    fn lines_of(work: impl FnOnce() + Send + 'static) -> Vec<(u16, LogLevel, String)> {
        let ring = Arc::new(EventRing::new(10).unwrap());
        let theirs = Arc::clone(&ring);
        let run = move || {
            let _attached = attach(7, theirs);
            work();
        };
        let name = format!("{SHARD_THREAD_PREFIX}7");
        std::thread::Builder::new().name(name).spawn(run).unwrap().join().unwrap();
        let line = |event| match event {
            Event::Logged { shard, level, text } => (shard, level, text),
            other => panic!("{other:?}"),
        };
        ring.drain(usize::MAX).into_iter().map(line).collect()
    }

    #[test]
    fn warnings_and_errors_of_ours_are_sent_with_their_fields() {
        let lines = lines_of(|| {
            tracing::warn!(address = %"192.0.2.1", count = 3, "paused");
            tracing::error!("broke");
            tracing::info!("not worth it");
            tracing::warn!(target: "str0m::sctp", "what a peer provoked");
            let _span = tracing::error_span!("nobody's").entered();
        });
        let expected = [(LogLevel::Warning, "paused address=192.0.2.1 count=3"), (LogLevel::Error, "broke")];
        assert_eq!(lines, expected.map(|(level, text)| (7, level, text.to_owned())));
    }

    #[test]
    fn a_panic_that_is_caught_is_told_once_with_its_place() {
        let lines = lines_of(|| {
            let none: Vec<u8> = Vec::new();
            assert!(catch_unwind(move || none.first().copied().unwrap()).is_err());
            let number = 5;
            assert!(catch_unwind(move || panic!("owned text {number}")).is_err());
        });
        let [(7, LogLevel::Error, text), (7, LogLevel::Error, owned)] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert!(owned.ends_with("cause=\"owned text 5\""), "{owned}");
        assert!(text.starts_with("panicked location=\"") && text.contains("log.rs:"), "{text}");
        assert!(text.contains("cause=\"called `Option::unwrap()` on a `None` value\""), "{text}");
    }
}
