//! Which SSRCs of the peer the association may see. It keeps something for each that names a line, even before it has
//! checked the packet, and never forgets it; descriptions that name streams do the same.
//!
//! A new SSRC takes from an allowance that refills with time alone: a peer that offers again and again gains nothing.

use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use crate::allowance::Allowance;

/// New SSRCs at once: more than a client with a hundred tracks has.
const BURST: u32 = 1_024;
/// After them, one more in this time. A client that publishes has six at most.
const INTERVAL: Duration = Duration::from_secs(1);

/// The SSRCs of one peer.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: FxHashSet<u32>,
    allowance: Allowance,
}

impl Sources {
    /// Whether a packet of an SSRC may be seen.
    pub(super) fn admits(&self, now: Instant, ssrc: u32) -> bool {
        self.left(now) > 0 || self.knows(ssrc)
    }

    /// Whether an SSRC has been noted.
    pub(super) fn knows(&self, ssrc: u32) -> bool {
        self.known.contains(&ssrc)
    }

    /// Notes an SSRC that the association has seen.
    pub(super) fn note(&mut self, now: Instant, ssrc: u32) {
        if self.known.insert(ssrc) {
            self.allowance.charge(now, INTERVAL, Duration::MAX);
        }
    }

    /// Notes the SSRCs that a description names, all or none. False: too many of them are new.
    pub(super) fn declare(&mut self, now: Instant, ssrcs: impl Iterator<Item = u32> + Clone) -> bool {
        let fresh = ssrcs.clone().filter(|ssrc| !self.knows(*ssrc)).count();
        let fits = u32::try_from(fresh).is_ok_and(|fresh| fresh <= self.left(now));
        if fits {
            ssrcs.for_each(|ssrc| self.note(now, ssrc));
        }
        fits
    }

    /// What is left of the allowance.
    fn left(&self, now: Instant) -> u32 {
        let taken = self.allowance.owed(now).as_nanos().div_ceil(INTERVAL.as_nanos());
        BURST.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back_with_time() {
        let (mut sources, start) = (Sources::default(), Instant::now());
        for ssrc in 0..BURST {
            assert!(sources.admits(start, ssrc));
            sources.note(start, ssrc);
            sources.note(start, ssrc); // as often as it likes
        }
        assert!(!sources.admits(start, BURST) && sources.admits(start, 7), "what is known goes on");
        assert!(!sources.admits(start + INTERVAL / 2, BURST));
        assert!(sources.admits(start + INTERVAL, BURST));
        sources.note(start + INTERVAL, BURST);
        assert!(!sources.admits(start + INTERVAL, BURST + 1));
        let much_later = start + INTERVAL * (2 * BURST);
        assert_eq!(sources.left(much_later), BURST, "and never more than that");
    }

    #[test]
    fn a_description_names_all_or_none() {
        let (mut sources, now) = (Sources::default(), Instant::now());
        assert!(sources.declare(now, 0..1_000));
        assert!(sources.declare(now, 500..1_000), "nothing of it is new");
        assert!(!sources.declare(now, 900..1_025));
        assert!(!sources.knows(1_000));
        assert!(sources.declare(now, 900..1_024));
        assert!(!sources.declare(now, 1_024..1_025));
    }
}
