//! One UDP socket: receives in batches, sends in GSO runs, never waits.
//!
//! A run can be refused although its datagrams by themselves are not: by a kernel or network card that cannot cut it,
//! or because a path is narrow, which some kernels report in the same way and any peer can bring about for its own
//! address. So the destination alone is remembered, for a minute; where nothing can be cut, each costs one refused call
//! a minute.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::batch::{Run, plan_runs};
use crate::sys::{ReceiveBatch, SendBatch, set_buffer_bytes};

/// Datagrams to send, by position: wherever their bytes are, they need not move.
pub trait Datagrams {
    /// How many there are.
    fn count(&self) -> usize;

    /// Where one goes and what it is. Positions are below [`Self::count`].
    fn datagram(&self, index: usize) -> (SocketAddr, &[u8]);
}

impl<B: AsRef<[u8]>> Datagrams for [(SocketAddr, B)] {
    fn count(&self) -> usize {
        self.len()
    }

    fn datagram(&self, index: usize) -> (SocketAddr, &[u8]) {
        let (destination, bytes) = &self[index];
        (*destination, bytes.as_ref())
    }
}

/// How long a destination gets its datagrams one by one after a run was refused.
const UNCUT_FOR: Duration = Duration::from_secs(60);
/// Destinations remembered so; beyond that all are tried again.
const MAX_UNCUT: usize = 4_096;

/// What became of sent datagrams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendOutcome {
    /// Datagrams that the kernel took.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Dropped because the kernel's send buffer was full.
    pub buffer_full: u64,
    /// Refused by the kernel for another reason: no route, filtered, larger than the path allows.
    pub refused: u64,
    /// `sendmmsg` calls.
    pub calls: u64,
}

/// A bound UDP socket.
#[derive(Debug)]
pub struct UdpPort {
    socket: UdpSocket,
    address: SocketAddr,
    /// Destinations for which the kernel does not cut runs into segments (`UDP_SEGMENT`), and until when.
    uncut: FxHashMap<SocketAddr, Instant>,
    next_warning: Option<Instant>,
    batch: SendBatch,
    runs: Vec<Run>,
}

impl UdpPort {
    /// Binds `address` (port 0: any) with socket buffers of about `buffer_bytes`.
    pub fn bind(address: SocketAddr, buffer_bytes: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        set_buffer_bytes(socket.as_fd(), buffer_bytes)?;
        let address = socket.local_addr()?;
        Ok(Self {
            socket,
            address,
            uncut: FxHashMap::default(),
            next_warning: None,
            batch: SendBatch::new(),
            runs: Vec::new(),
        })
    }

    /// Bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes what waits, at most one batch; see [`ReceiveBatch::receive`].
    pub fn receive(&self, batch: &mut ReceiveBatch) -> io::Result<usize> {
        batch.receive(self.socket.as_fd())
    }

    /// Sends `datagrams` in order, runs of one destination and size together. What the kernel does not take at once is
    /// dropped and counted.
    pub fn send<D: Datagrams + ?Sized>(&mut self, now: Instant, datagrams: &D) -> SendOutcome {
        let mut runs = std::mem::take(&mut self.runs);
        runs.clear();
        let sizes = (0..datagrams.count()).map(|index| {
            let (destination, bytes) = datagrams.datagram(index);
            (destination, bytes.len())
        });
        plan_runs(sizes, &mut runs);
        if !self.uncut.is_empty() {
            runs = self.split_uncut(now, datagrams, &runs);
        }
        let mut outcome = SendOutcome::default();
        self.send_runs(now, datagrams, &runs, &mut outcome);
        self.runs = runs;
        outcome
    }

    /// The runs, with those to destinations that get none cut into their datagrams.
    fn split_uncut<D: Datagrams + ?Sized>(&mut self, now: Instant, datagrams: &D, runs: &[Run]) -> Vec<Run> {
        let mut split = Vec::with_capacity(datagrams.count());
        for run in runs {
            let (destination, _) = datagrams.datagram(run.first);
            match self.uncut.get(&destination) {
                Some(until) if run.count > 1 && now < *until => {
                    split.extend(single_runs(datagrams, run.first..run.first + run.count));
                }
                Some(until) if now >= *until => {
                    self.uncut.remove(&destination);
                    split.push(*run);
                }
                _ => split.push(*run),
            }
        }
        split
    }

    fn send_runs<D: Datagrams + ?Sized>(
        &mut self,
        now: Instant,
        datagrams: &D,
        runs: &[Run],
        outcome: &mut SendOutcome,
    ) {
        let mut rest = runs;
        while !rest.is_empty() {
            outcome.calls += 1;
            let result = self.batch.send(self.socket.as_fd(), datagrams, rest);
            let done = match result {
                Ok(taken) => {
                    for run in &rest[..taken] {
                        outcome.sent += run.count as u64;
                        outcome.sent_bytes += run_bytes(datagrams, *run);
                    }
                    // 0 is not documented; counting the run as refused keeps the loop going forward.
                    if taken == 0 {
                        outcome.refused += rest[0].count as u64;
                    }
                    taken.max(1)
                }
                Err(error) => self.skip_failed(now, datagrams, rest, &error, outcome),
            };
            rest = &rest[done..];
        }
    }

    /// Deals with the failure of the first of `runs`; returns how many runs are done with.
    fn skip_failed<D: Datagrams + ?Sized>(
        &mut self,
        now: Instant,
        datagrams: &D,
        runs: &[Run],
        error: &io::Error,
        outcome: &mut SendOutcome,
    ) -> usize {
        let failed = runs[0];
        match error.raw_os_error() {
            Some(libc::EINTR) => return 0,
            // The buffer is one for all destinations: trying the others now would only cost more calls.
            Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => {
                outcome.buffer_full += runs.iter().map(|run| run.count as u64).sum::<u64>();
                return runs.len();
            }
            Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP) if failed.count > 1 => {
                self.retry_uncut(now, datagrams, failed, error, outcome);
            }
            _ => outcome.refused += failed.count as u64,
        }
        1
    }

    /// Sends a run's datagrams one by one. If that works, this destination gets no runs for a while; if it fails too,
    /// cutting was not the trouble.
    fn retry_uncut<D: Datagrams + ?Sized>(
        &mut self,
        now: Instant,
        datagrams: &D,
        run: Run,
        error: &io::Error,
        outcome: &mut SendOutcome,
    ) {
        let sent_before = outcome.sent;
        let singles: Vec<Run> = single_runs(datagrams, run.first..run.first + run.count).collect();
        self.send_runs(now, datagrams, &singles, outcome);
        if outcome.sent == sent_before {
            return;
        }
        if self.uncut.len() >= MAX_UNCUT {
            self.uncut.clear();
        }
        self.uncut.insert(datagrams.datagram(run.first).0, now + UNCUT_FOR);
        if self.next_warning.is_none_or(|at| now >= at) {
            self.next_warning = Some(now + UNCUT_FOR);
            tracing::warn!(address = %self.address, %error, "segmentation refused for some destinations");
        }
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn single_runs<D: Datagrams + ?Sized>(
    datagrams: &D,
    range: std::ops::Range<usize>,
) -> impl Iterator<Item = Run> {
    range.map(|first| Run { first, count: 1, segment_bytes: datagrams.datagram(first).1.len() })
}

fn run_bytes<D: Datagrams + ?Sized>(datagrams: &D, run: Run) -> u64 {
    (run.first..run.first + run.count).map(|index| datagrams.datagram(index).1.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUFFER_BYTES: usize = 1 << 20;

    fn port(address: &str) -> UdpPort {
        UdpPort::bind(address.parse().unwrap(), BUFFER_BYTES).unwrap()
    }

    /// Everything that waits at `port`; `None` for a datagram that was too large.
    fn drain(port: &UdpPort) -> Vec<(SocketAddr, Option<Vec<u8>>)> {
        let mut batch = ReceiveBatch::new();
        let mut all = Vec::new();
        while port.receive(&mut batch).unwrap() > 0 {
            all.extend(batch.datagrams().map(|(source, bytes)| (source, bytes.map(<[u8]>::to_vec))));
        }
        all
    }

    #[test]
    fn runs_arrive_as_the_datagrams_that_were_sent() {
        let now = Instant::now();
        for segmented in [true, false] {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let (mut sender, first, second) = (port(address), port(address), port(address));
                if !segmented {
                    let until = now + UNCUT_FOR;
                    sender.uncut =
                        [(first.address(), until), (second.address(), until)].into_iter().collect();
                }
                let datagrams: Vec<(SocketAddr, Vec<u8>)> = (0..150_u8)
                    .map(|number| {
                        let to = if number % 70 < 50 { &first } else { &second };
                        let bytes = if number % 10 == 9 { 300 } else { 1000 };
                        (to.address(), vec![number; bytes])
                    })
                    .collect();
                let outcome = sender.send(now, &datagrams[..]);
                assert_eq!(outcome.calls > 1, !segmented);
                assert_eq!((outcome.sent, outcome.buffer_full, outcome.refused), (150, 0, 0));
                assert_eq!(
                    outcome.sent_bytes,
                    datagrams.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
                );
                for receiver in [&first, &second] {
                    let expected: Vec<_> = datagrams
                        .iter()
                        .filter(|(to, _)| *to == receiver.address())
                        .map(|(_, bytes)| (sender.address(), Some(bytes.clone())))
                        .collect();
                    assert_eq!(drain(receiver), expected, "{segmented} {address}");
                }
            }
        }
    }

    #[test]
    fn a_refused_destination_costs_the_others_nothing() {
        let (mut sender, receiver) = (port("127.0.0.1:0"), port("127.0.0.1:0"));
        // Port 0 is EINVAL; without its own retry it would look like a kernel without segmentation.
        let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut datagrams = vec![(receiver.address(), vec![1; 100]), (receiver.address(), vec![2; 100])];
        datagrams.extend(vec![(nowhere, vec![3; 100]); 3]);
        datagrams.push((receiver.address(), vec![4; 100]));
        let outcome = sender.send(Instant::now(), &datagrams[..]);
        assert_eq!((outcome.sent, outcome.refused), (3, 3));
        assert!(sender.uncut.is_empty(), "cutting was not the trouble");
        let first_bytes: Vec<u8> =
            drain(&receiver).iter().map(|(_, bytes)| bytes.as_ref().unwrap()[0]).collect();
        assert_eq!(first_bytes, [1, 2, 4]);
    }

    /// Tells `sender` that the first run failed with `code`; returns how many runs are done with.
    fn fail_first(
        sender: &mut UdpPort,
        now: Instant,
        datagrams: &[(SocketAddr, Vec<u8>)],
        code: i32,
    ) -> (usize, SendOutcome) {
        let mut runs = Vec::new();
        plan_runs(datagrams.iter().map(|(to, bytes)| (*to, bytes.len())), &mut runs);
        let mut outcome = SendOutcome::default();
        let error = io::Error::from_raw_os_error(code);
        (sender.skip_failed(now, datagrams, &runs, &error, &mut outcome), outcome)
    }

    #[test]
    fn a_full_send_buffer_drops_the_rest_at_once() {
        // Loopback never fills it, so the kernel's answer is played here.
        let mut sender = port("127.0.0.1:0");
        let datagrams: Vec<(SocketAddr, Vec<u8>)> =
            [1, 1, 2].map(|port| (SocketAddr::from(([127, 0, 0, 1], port)), vec![0; 100])).into();
        let (done, outcome) = fail_first(&mut sender, Instant::now(), &datagrams, libc::EAGAIN);
        assert_eq!((done, outcome), (2, SendOutcome { buffer_full: 3, ..SendOutcome::default() }));
    }

    #[test]
    fn runs_are_given_up_for_the_one_destination_that_refuses_them_and_tried_again() {
        for code in [libc::EIO, libc::EINVAL, libc::EMSGSIZE, libc::EOPNOTSUPP] {
            let (mut sender, narrow, other) = (port("127.0.0.1:0"), port("127.0.0.1:0"), port("127.0.0.1:0"));
            let now = Instant::now();
            let to = |receiver: &UdpPort| vec![(receiver.address(), vec![5; 100]); 3];
            let (done, outcome) = fail_first(&mut sender, now, &to(&narrow), code);
            assert_eq!((done, outcome.sent, outcome.refused), (1, 3, 0));
            let mut both = to(&narrow);
            both.extend(to(&other));
            let mut planned = Vec::new();
            plan_runs(both.iter().map(|(to, bytes)| (*to, bytes.len())), &mut planned);
            let counts = |runs: &[Run]| runs.iter().map(|run| run.count).collect::<Vec<_>>();
            let soon = now + UNCUT_FOR / 2;
            assert_eq!(counts(&sender.split_uncut(soon, &both[..], &planned)), [1, 1, 1, 3], "error {code}");
            assert_eq!(sender.send(soon, &both[..]).sent, 6);
            let later = now + UNCUT_FOR;
            assert_eq!(counts(&sender.split_uncut(later, &both[..], &planned)), [3, 3]);
            assert!(sender.uncut.is_empty());
            assert_eq!((drain(&narrow).len(), drain(&other).len()), (6, 3));
        }
    }

    #[test]
    fn so_many_destinations_are_remembered_and_no_more() {
        let (mut sender, now) = (port("127.0.0.1:0"), Instant::now());
        let until = now + UNCUT_FOR;
        let narrow = |number: usize| SocketAddr::from(([127, 1, 0, 1], u16::try_from(number).unwrap()));
        sender.uncut = (0..MAX_UNCUT).map(|number| (narrow(number), until)).collect();
        let receiver = port("127.0.0.1:0");
        fail_first(&mut sender, now, &vec![(receiver.address(), vec![5; 100]); 3], libc::EIO);
        assert_eq!(sender.uncut.len(), 1);
    }

    #[test]
    fn an_oversized_datagram_is_reported_as_such() {
        let (mut sender, receiver) = (port("127.0.0.1:0"), port("127.0.0.1:0"));
        let datagrams = [(receiver.address(), vec![0; 4000]), (receiver.address(), vec![1; 4])];
        sender.send(Instant::now(), &datagrams[..]);
        assert_eq!(drain(&receiver), [(sender.address(), None), (sender.address(), Some(vec![1; 4]))]);
    }
}
