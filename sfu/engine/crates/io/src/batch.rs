//! Which datagrams leave in one GSO run (`UDP_SEGMENT`). Pure: sizes and destinations in, runs out.
//!
//! The kernel cuts the buffer of a run into segments of one size, of which only the last may be shorter. A run costs
//! it little more than one datagram, so runs of eight double the packets per CPU-second; `sendmmsg` alone gains nothing.
//! Datagrams are never reordered: a receiver would ask for the late ones again.

use std::net::SocketAddr;

/// Segments in one run: the least that any kernel with `UDP_SEGMENT` takes (`UDP_MAX_SEGMENTS`).
pub const MAX_RUN_SEGMENTS: usize = 64;

/// Bytes in one run: the largest UDP payload over IPv4 (RFC 768: 65,535 less the IP and UDP headers), rounded down.
pub const MAX_RUN_BYTES: usize = 65_000;

/// Consecutive datagrams that leave in one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Index of the first datagram.
    pub first: usize,
    /// Number of datagrams.
    pub count: usize,
    /// Size of each of them but the last.
    pub segment_bytes: usize,
}

/// Groups datagrams, given as destination and size, into runs; appends to `runs`.
pub fn plan_runs(datagrams: impl IntoIterator<Item = (SocketAddr, usize)>, runs: &mut Vec<Run>) {
    let mut open: Option<OpenRun> = None;
    for (index, (destination, bytes)) in datagrams.into_iter().enumerate() {
        if let Some(run) = &mut open
            && run.takes(destination, bytes)
        {
            continue;
        }
        runs.extend(open.take().map(|run| run.run));
        open = Some(OpenRun::new(index, destination, bytes));
    }
    runs.extend(open.map(|run| run.run));
}

struct OpenRun {
    run: Run,
    destination: SocketAddr,
    total_bytes: usize,
    /// A shorter segment was the last one.
    ended: bool,
}

impl OpenRun {
    fn new(first: usize, destination: SocketAddr, bytes: usize) -> Self {
        // An empty datagram would be no segment at all.
        let run = Run { first, count: 1, segment_bytes: bytes };
        Self { run, destination, total_bytes: bytes, ended: bytes == 0 }
    }

    /// Adds a datagram if it fits.
    fn takes(&mut self, destination: SocketAddr, bytes: usize) -> bool {
        let fits = !self.ended
            && destination == self.destination
            && (1..=self.run.segment_bytes).contains(&bytes)
            && self.run.count < MAX_RUN_SEGMENTS
            && self.total_bytes + bytes <= MAX_RUN_BYTES;
        if fits {
            self.run.count += 1;
            self.total_bytes += bytes;
            self.ended = bytes < self.run.segment_bytes;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(datagrams: &[(u16, usize)]) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::new();
        let address = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        plan_runs(datagrams.iter().map(|&(port, bytes)| (address(port), bytes)), &mut runs);
        runs.iter().map(|run| (run.first, run.count, run.segment_bytes)).collect()
    }

    #[test]
    fn nothing_gives_no_run() {
        assert_eq!(runs(&[]), []);
    }

    #[test]
    fn equal_sizes_with_a_shorter_end_are_one_run() {
        assert_eq!(runs(&[(1, 1150), (1, 1150), (1, 1150), (1, 400)]), [(0, 4, 1150)]);
    }

    #[test]
    fn a_shorter_datagram_ends_its_run() {
        assert_eq!(
            runs(&[(1, 1150), (1, 400), (1, 400), (1, 1150)]),
            [(0, 2, 1150), (2, 1, 400), (3, 1, 1150)]
        );
    }

    #[test]
    fn a_longer_datagram_starts_a_run() {
        assert_eq!(runs(&[(1, 900), (1, 901), (1, 901)]), [(0, 1, 900), (1, 2, 901)]);
    }

    #[test]
    fn another_destination_starts_a_run() {
        assert_eq!(runs(&[(1, 900), (2, 900), (2, 900), (1, 900)]), [(0, 1, 900), (1, 2, 900), (3, 1, 900)]);
    }

    #[test]
    fn runs_are_cut_at_the_segment_limit() {
        assert_eq!(runs(&[(1, 100); 130]), [(0, 64, 100), (64, 64, 100), (128, 2, 100)]);
    }

    #[test]
    fn runs_are_cut_at_the_byte_limit() {
        let cut = MAX_RUN_BYTES / 1200;
        assert_eq!(runs(&[(1, 1200); 60]), [(0, cut, 1200), (cut, 60 - cut, 1200)]);
    }

    #[test]
    fn empty_datagrams_travel_alone() {
        assert_eq!(runs(&[(1, 0), (1, 0), (1, 5), (1, 0)]), [(0, 1, 0), (1, 1, 0), (2, 1, 5), (3, 1, 0)]);
    }
}
