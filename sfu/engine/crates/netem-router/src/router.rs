//! The loop: packets from one device through a link to the other, changes at their times, lines in and out. One thread.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use plenum_io::net::{Interest, Poller, Readiness, Tun, thread_cpu};
use plenum_netem::{Link, LinkConfig};
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::Arguments;
use crate::control::Control;
use crate::error::RouterError;
use crate::report::{Lateness, direction};
use crate::settings::{Impairments, SettingsError, Step};

const INPUT: u64 = 2;
const SIGNAL: u64 = 3;

/// A time-out does not end sooner than this after the last wake-up: where packets follow each other closely, several
/// share one. Less than the scheduler's own lateness on a machine at work.
const GRAIN: Duration = Duration::from_micros(200);

/// Packets taken from one device before the other has its turn.
const BATCH: usize = 64;

/// Larger than any IP packet.
const BUFFER_BYTES: usize = 65_536;

/// One direction: what enters at `from` leaves at the other side's device.
struct Lane {
    link: Link<Vec<u8>>,
    lateness: Lateness,
    /// Packets that the device did not take: down, or not yet moved to its namespace.
    refused: u64,
}

/// Two devices and the link between them.
pub(crate) struct Router<W> {
    /// Near, far.
    tuns: [Tun; 2],
    /// Up (from near), down (from far).
    lanes: [Lane; 2],
    start: Instant,
    /// In order of their times.
    steps: VecDeque<Step>,
    poller: Poller,
    control: Control<File>,
    /// Only kept open: the poller looks at it.
    _signal: UnixStream,
    output: W,
    buffer: Vec<u8>,
}

const SIDES: [&str; 2] = ["near", "far"];

impl<W: Write> Router<W> {
    /// Makes the devices and waits for nothing yet.
    pub(crate) fn open(arguments: &Arguments, output: W) -> Result<Self, RouterError> {
        let open = |name: &String| {
            Tun::open(name).map_err(|source| RouterError::Open { name: name.clone(), source })
        };
        let signal = signals()?;
        let tuns = [open(&arguments.near)?, open(&arguments.far)?];
        let poller = Poller::new()?;
        for (tun, token) in tuns.iter().zip(0..) {
            poller.add(tun.as_fd(), token, Interest::READ)?;
        }
        poller.add(signal.as_fd(), SIGNAL, Interest::READ)?;
        // No delay of its own: a router that is told nothing changes nothing.
        let config = LinkConfig { delay: Duration::ZERO, ..LinkConfig::default() };
        let lane = |stream| Lane {
            link: Link::new(config, arguments.seed.wrapping_mul(2).wrapping_add(stream)),
            lateness: Lateness::default(),
            refused: 0,
        };
        let mut router = Self {
            tuns,
            lanes: [lane(0), lane(1)],
            start: Instant::now(),
            steps: VecDeque::new(),
            poller,
            control: Control::from_stdin()?,
            _signal: signal,
            output,
            buffer: vec![0; BUFFER_BYTES],
        };
        arguments.steps.iter().for_each(|step| router.plan(step.clone()));
        Ok(router)
    }

    /// Runs until the input ends or a signal comes.
    pub(crate) fn run(mut self) -> Result<(), RouterError> {
        self.start = Instant::now();
        self.apply_due_steps()?;
        self.report("ready", json!({}))?;
        if self.listen()? {
            self.take_all_lines()?;
        }
        let result = self.carry();
        self.report_counters("end")?;
        result
    }

    fn carry(&mut self) -> Result<(), RouterError> {
        let mut ready = Vec::new();
        let mut woken = Instant::now();
        loop {
            self.apply_due_steps()?;
            self.deliver()?;
            let timeout =
                self.next_timeout().map(|at| at.max(woken + GRAIN).saturating_duration_since(Instant::now()));
            self.poller.wait(timeout, &mut ready)?;
            woken = Instant::now();
            for Readiness { token, .. } in ready.drain(..) {
                match token {
                    INPUT if self.take_lines()? => return Ok(()),
                    INPUT => {}
                    SIGNAL => return Ok(()),
                    side => self.take_packets(usize::try_from(side).unwrap_or(0))?,
                }
            }
        }
    }

    /// Waits for lines too; true when the input is a file or a null device, which nobody can wait for.
    fn listen(&self) -> Result<bool, RouterError> {
        match self.poller.add(self.control.descriptor(), INPUT, Interest::READ) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(true),
            result => Ok(result.map(|()| false)?),
        }
    }

    fn take_all_lines(&mut self) -> Result<(), RouterError> {
        for line in self.control.read_all()? {
            self.take_line(&line)?;
        }
        Ok(())
    }

    /// True when the input has ended.
    fn take_lines(&mut self) -> Result<bool, RouterError> {
        let (lines, ended) = self.control.read()?;
        for line in lines {
            self.take_line(&line)?;
        }
        Ok(ended)
    }

    fn take_line(&mut self, line: &str) -> Result<(), RouterError> {
        match Step::parse(line) {
            Ok(step) => {
                self.plan(step);
                self.apply_due_steps()
            }
            Err(reason) => self.refuse(line, &reason),
        }
    }

    fn refuse(&mut self, line: &str, reason: &SettingsError) -> Result<(), RouterError> {
        self.report("refused", json!({"line": line, "reason": reason.to_string()}))
    }

    fn plan(&mut self, step: Step) {
        let position = self.steps.partition_point(|other| other.at_ms <= step.at_ms);
        self.steps.insert(position, step);
    }

    fn time_of(&self, step: &Step) -> Instant {
        self.start + Duration::from_millis(step.at_ms)
    }

    /// Carries out the steps whose time has come.
    fn apply_due_steps(&mut self) -> Result<(), RouterError> {
        let now = Instant::now();
        while self.steps.front().is_some_and(|step| self.time_of(step) <= now) {
            let Some(step) = self.steps.pop_front() else { break };
            let [up, down] = &mut self.lanes;
            step.up().for_each(|change| impair(&mut up.link, change, now));
            step.down().for_each(|change| impair(&mut down.link, change, now));
            if step.counters {
                self.report_counters("counters")?;
            }
        }
        Ok(())
    }

    fn next_timeout(&self) -> Option<Instant> {
        let step = self.steps.front().map(|step| self.time_of(step));
        self.lanes.iter().filter_map(|lane| lane.link.next_timeout()).chain(step).min()
    }

    /// Takes what waits at a device, at most a batch; the poller tells again of the rest.
    fn take_packets(&mut self, side: usize) -> Result<(), RouterError> {
        for _ in 0..BATCH {
            let received = self.tuns[side].receive(&mut self.buffer);
            let received = received.map_err(|source| RouterError::Gone { side: SIDES[side], source })?;
            let Some(count) = received else { break };
            // The time of each, not of the batch: what came while others were read would leave too early.
            self.lanes[side].link.push(Instant::now(), self.buffer[..count].to_vec());
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), RouterError> {
        for (lane, to) in self.lanes.iter_mut().zip([1, 0]) {
            let now = Instant::now();
            while let Some(arrival) = lane.link.poll(now) {
                lane.lateness.note(now - arrival.due);
                match self.tuns[to].send(&arrival.packet) {
                    Ok(()) => {}
                    Err(source) if is_gone(&source) => {
                        return Err(RouterError::Gone { side: SIDES[to], source });
                    }
                    Err(_) => lane.refused += 1,
                }
            }
        }
        Ok(())
    }

    fn report_counters(&mut self, event: &str) -> Result<(), RouterError> {
        let [up, down] = self.lanes.each_ref().map(|lane| direction(&lane.link, lane.lateness, lane.refused));
        let cpu_ms = millis(thread_cpu());
        self.report(
            event,
            json!({"elapsed_ms": millis(self.start.elapsed()), "cpu_ms": cpu_ms, "up": up, "down": down}),
        )
    }

    fn report(&mut self, event: &str, mut line: Value) -> Result<(), RouterError> {
        line["event"] = event.into();
        writeln!(self.output, "{line}")?;
        Ok(self.output.flush()?)
    }
}

fn impair(link: &mut Link<Vec<u8>>, change: &Impairments, now: Instant) {
    link.set_config(now, change.applied_to(link.config));
    if let Some(length) = change.blackout() {
        link.schedule_blackout(now, length);
    }
}

fn is_gone(error: &io::Error) -> bool {
    const EBADFD: i32 = 77;
    error.raw_os_error() == Some(EBADFD)
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// Readable once a signal has asked the process to end.
fn signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}
