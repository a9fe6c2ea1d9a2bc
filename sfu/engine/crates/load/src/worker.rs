//! One thread: its share of the participants, one poller over all their sockets.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use plenum_io::net::{Interest, Poller, Readiness, ReceiveBatch, thread_cpu};

use crate::args::Arguments;
use crate::error::LoadError;
use crate::participant::{Participant, Socket};
use crate::tally::Tally;

/// Where the run stands; set by the main thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Participants join, media begins.
    Joining,
    /// Counted.
    Measuring,
    /// Everybody leaves.
    Done,
}

impl Phase {
    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Joining,
            1 => Self::Measuring,
            _ => Self::Done,
        }
    }
}

/// What the threads tell each other.
#[derive(Debug, Default)]
pub(crate) struct Board {
    phase: AtomicU8,
    pub(crate) connected: AtomicUsize,
    /// Subscribers that have received something of everything.
    pub(crate) receiving: AtomicUsize,
    /// Threads that have ended by an error.
    pub(crate) failed: AtomicUsize,
}

impl Board {
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    fn phase(&self) -> Phase {
        Phase::from_number(self.phase.load(Ordering::Acquire))
    }
}

/// Who is to join.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) room: String,
    pub(crate) identity: String,
    pub(crate) publishes: bool,
}

/// What one thread has seen.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) tally: Tally,
    pub(crate) lost: u64,
    /// Media streams of which something arrived, over all participants.
    pub(crate) streams: usize,
    pub(crate) connect_times: Vec<Duration>,
    /// CPU time of the thread while it was measured.
    pub(crate) cpu: Duration,
}

/// How long a thread sleeps at most: it must notice a new phase.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

pub(crate) struct Worker {
    arguments: Arc<Arguments>,
    board: Arc<Board>,
    seats: std::vec::IntoIter<Seat>,
    participants: Vec<Member>,
    poller: Poller,
    batch: ReceiveBatch,
    phase: Phase,
    cpu_at_start: Duration,
}

struct Member {
    participant: Participant,
    due: Instant,
    connected: bool,
    receiving: bool,
}

impl Worker {
    pub(crate) fn new(
        arguments: Arc<Arguments>,
        board: Arc<Board>,
        seats: Vec<Seat>,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            arguments,
            board,
            seats: seats.into_iter(),
            participants: Vec::new(),
            poller: Poller::new()?,
            batch: ReceiveBatch::new(),
            phase: Phase::Joining,
            cpu_at_start: Duration::ZERO,
        })
    }

    /// Runs to the end of the measurement.
    pub(crate) fn run(mut self) -> Result<Report, LoadError> {
        let mut ready = Vec::new();
        let mut report = Report::default();
        loop {
            self.join_next()?;
            self.poller.wait(Some(self.sleep_limit()), &mut ready)?;
            let now = Instant::now();
            for readiness in &ready {
                self.take_readiness(*readiness, now)?;
            }
            self.run_due(now)?;
            match self.board.phase() {
                phase if phase == self.phase => {}
                Phase::Measuring => self.begin_measuring(),
                Phase::Done => {
                    self.finish(&mut report, now);
                    return Ok(report);
                }
                Phase::Joining => {}
            }
        }
    }

    fn under_way(&self) -> usize {
        self.participants
            .iter()
            .rev()
            .take(2 * self.arguments.concurrency)
            .filter(|member| !member.connected)
            .count()
    }

    fn join_next(&mut self) -> Result<(), LoadError> {
        if self.seats.len() == 0 || self.under_way() >= self.arguments.concurrency {
            return Ok(());
        }
        let Some(seat) = self.seats.next() else { return Ok(()) };
        let participant = Participant::join(&self.arguments, &seat.room, &seat.identity, seat.publishes)?;
        let index = self.participants.len();
        self.poller.add(participant.signal().as_fd(), token(index, Socket::Signal), Interest::READ)?;
        let due = participant.began;
        self.participants.push(Member { participant, due, connected: false, receiving: false });
        self.watch(index, Socket::Ours)?;
        // What came right behind the upgrade was read with it: the socket will not tell of it.
        let token = token(index, Socket::Signal);
        self.take_readiness(Readiness { token, readable: true, writable: false }, due)
    }

    fn watch(&self, index: usize, which: Socket) -> Result<(), LoadError> {
        if let Some(association) = self.participants[index].participant.association(which) {
            self.poller.add(association.as_fd(), token(index, which), Interest::READ)?;
        }
        Ok(())
    }

    fn sleep_limit(&self) -> Duration {
        if self.seats.len() > 0 && self.under_way() < self.arguments.concurrency {
            return Duration::ZERO;
        }
        let due = self.participants.iter().map(|member| member.due).min();
        due.map_or(LONGEST_SLEEP, |due| due.saturating_duration_since(Instant::now()).min(LONGEST_SLEEP))
    }

    fn take_readiness(&mut self, readiness: Readiness, now: Instant) -> Result<(), LoadError> {
        let (index, which) = split_token(readiness.token);
        let participant = &mut self.participants[index].participant;
        let known = [Socket::Ours, Socket::Theirs].map(|which| participant.association(which).is_some());
        participant.take_readiness(which, now, &mut self.batch)?;
        for (which, was_known) in [Socket::Ours, Socket::Theirs].into_iter().zip(known) {
            if !was_known {
                self.watch(index, which)?;
            }
        }
        self.after(index, now);
        Ok(())
    }

    fn run_due(&mut self, now: Instant) -> Result<(), LoadError> {
        for index in 0..self.participants.len() {
            if self.participants[index].due <= now {
                self.participants[index].participant.run(now)?;
                self.after(index, now);
            }
        }
        Ok(())
    }

    /// Notes what has changed with a participant.
    fn after(&mut self, index: usize, now: Instant) {
        let member = &mut self.participants[index];
        member.due = member.participant.next_timeout(now);
        if !member.connected && member.participant.is_connected() {
            member.connected = true;
            self.board.connected.fetch_add(1, Ordering::AcqRel);
        }
        let waits = self.phase == Phase::Joining && !member.receiving && !member.participant.publishes();
        if waits && member.participant.receives_all() {
            member.receiving = true;
            self.board.receiving.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn begin_measuring(&mut self) {
        self.phase = Phase::Measuring;
        self.cpu_at_start = thread_cpu();
        self.participants.iter_mut().for_each(|member| member.participant.reset_tally());
    }

    fn finish(&mut self, report: &mut Report, now: Instant) {
        report.cpu = thread_cpu().saturating_sub(self.cpu_at_start);
        for member in &mut self.participants {
            report.tally.merge(&member.participant.tally());
            report.lost += member.participant.lost();
            report.streams += member.participant.stream_count();
            report.connect_times.extend(member.participant.connect_time);
            member.participant.leave(now);
        }
    }
}

fn token(index: usize, which: Socket) -> u64 {
    let kind = match which {
        Socket::Signal => 0,
        Socket::Ours => 1,
        Socket::Theirs => 2,
    };
    (index as u64) << 2 | kind
}

fn split_token(token: u64) -> (usize, Socket) {
    let which = match token & 3 {
        0 => Socket::Signal,
        1 => Socket::Ours,
        _ => Socket::Theirs,
    };
    (usize::try_from(token >> 2).unwrap_or(usize::MAX), which)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_name_participant_and_socket() {
        for index in [0, 1, 399] {
            for which in [Socket::Signal, Socket::Ours, Socket::Theirs] {
                assert_eq!(split_token(token(index, which)), (index, which));
            }
        }
    }
}
