//! One shard's thread: sleeps, reads, runs the core, writes. Owns the sockets; decides nothing about packets.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use plenum_core::{Carrier, Command, Counters, Datagram, Event, Shard, Transmit, Transmits};

use crate::config::TcpLimits;
use crate::counters::{IoCounters, ShardCounters};
use crate::event_ring::EventRing;
use crate::link::Mailbox;
use crate::sys::{Interest, Poller, Readiness, ReceiveBatch, thread_cpu};
use crate::tcp::{TcpSend, TcpSide};
use crate::udp::{Datagrams, UdpPort};

/// What the driver needs of a core; [`Shard`] in production.
pub(crate) trait Core {
    fn handle_command(&mut self, now: Instant, command: Command);
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>);
    fn handle_tcp_closed(&mut self, now: Instant, peer: SocketAddr);
    fn take_unused_tcp(&mut self) -> Vec<SocketAddr>;
    fn handle_timeout(&mut self, now: Instant);
    fn flush_deadline(&self) -> Option<Instant>;
    fn flush(&mut self, now: Instant, relief: &mut dyn FnMut(&mut Transmits));
    fn transmits(&mut self) -> &mut Transmits;
    fn poll_event(&mut self) -> Option<Event>;
    fn next_timeout(&self) -> Option<Instant>;
    fn counters(&self) -> &Counters;
    fn close(&mut self, now: Instant);
}

impl Core for Shard {
    fn handle_command(&mut self, now: Instant, command: Command) {
        self.handle_command(now, command);
    }
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        self.handle_datagram(now, datagram);
    }
    fn handle_tcp_closed(&mut self, now: Instant, peer: SocketAddr) {
        self.handle_tcp_closed(now, peer);
    }
    fn take_unused_tcp(&mut self) -> Vec<SocketAddr> {
        self.take_unused_tcp()
    }
    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }
    fn flush_deadline(&self) -> Option<Instant> {
        self.flush_deadline()
    }
    fn flush(&mut self, now: Instant, relief: &mut dyn FnMut(&mut Transmits)) {
        self.flush_through(now, relief);
    }
    fn transmits(&mut self) -> &mut Transmits {
        self.transmits()
    }
    fn poll_event(&mut self) -> Option<Event> {
        self.poll_event()
    }
    fn next_timeout(&self) -> Option<Instant> {
        self.next_timeout()
    }
    fn counters(&self) -> &Counters {
        self.counters()
    }
    fn close(&mut self, now: Instant) {
        self.close(now);
    }
}

/// Sockets and bounds of one shard.
#[derive(Debug)]
pub(crate) struct DriverConfig {
    pub(crate) index: u16,
    pub(crate) ports: Vec<UdpPort>,
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) tcp_limits: TcpLimits,
}

/// Commands carried out before packets get their turn.
const COMMANDS_PER_TURN: usize = 256;

/// Receive batches of one socket before the next part of a turn.
const BATCHES_PER_TURN: usize = 4;

/// Counters are published at most that often.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(100);

const WAKE: u64 = 0;
const FIRST_PORT: u64 = 1;
const FIRST_LISTENER: u64 = 1 << 20;
const FIRST_CONNECTION: u64 = 1 << 21;

pub(crate) struct Driver<C> {
    core: C,
    make_core: Box<dyn FnMut(Instant) -> C>,
    sockets: Sockets,
    commands: Receiver<Command>,
    mailbox: Arc<Mailbox>,
    ring: Arc<EventRing>,
    events: Vec<Event>,
    /// Totals of cores that have failed.
    past: ShardCounters,
    index: u16,
    next_publish: Option<Instant>,
}

/// All sockets and what is on its way through them; apart from the core, so that both can be borrowed.
struct Sockets {
    poller: Poller,
    ports: Vec<UdpPort>,
    tcp: TcpSide,
    batch: ReceiveBatch,
    /// Positions of the datagrams that leave through each port; empty between two calls.
    outgoing: Vec<Vec<usize>>,
    counters: IoCounters,
    /// When this turn began.
    now: Instant,
}

impl<C: Core> Driver<C> {
    /// Watches the sockets. To be called on the shard's own thread.
    pub(crate) fn new(
        config: DriverConfig,
        mut make_core: Box<dyn FnMut(Instant) -> C>,
        mailbox: Arc<Mailbox>,
        commands: Receiver<Command>,
        ring: Arc<EventRing>,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(mailbox.wake.as_fd(), WAKE, Interest::READ)?;
        for (port, token) in config.ports.iter().zip(FIRST_PORT..) {
            poller.add(port.as_fd(), token, Interest::READ)?;
        }
        let tcp =
            TcpSide::new(config.listeners, config.tcp_limits, &poller, FIRST_LISTENER, FIRST_CONNECTION)?;
        let outgoing = config.ports.iter().map(|_| Vec::new()).collect();
        let sockets = Sockets {
            poller,
            ports: config.ports,
            tcp,
            batch: ReceiveBatch::new(),
            outgoing,
            counters: IoCounters::default(),
            now: Instant::now(),
        };
        Ok(Self {
            core: make_core(Instant::now()),
            make_core,
            sockets,
            commands,
            mailbox,
            ring,
            events: Vec::new(),
            past: ShardCounters::new(),
            index: config.index,
            next_publish: None,
        })
    }

    /// Runs until the mailbox says stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        while !self.mailbox.stopping.load(Ordering::Acquire) {
            let limit = self.sleep_limit();
            self.sockets.poller.wait(limit, &mut ready)?;
            let now = Instant::now();
            self.turn(now, &ready);
        }
        self.close(Instant::now());
        Ok(())
    }

    /// How long nothing has to be done unless something comes in.
    fn sleep_limit(&self) -> Option<Duration> {
        if !self.commands.is_empty() && !self.ring.is_full() {
            return Some(Duration::ZERO);
        }
        let timers = [
            self.core.next_timeout(),
            self.core.flush_deadline(),
            self.sockets.tcp.next_timeout(),
            self.next_publish,
        ];
        let due = timers.into_iter().flatten().min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }

    /// One turn of the loop; a panic costs the core, not the thread.
    fn turn(&mut self, now: Instant, ready: &[Readiness]) {
        self.sockets.counters.turns += 1;
        self.sockets.now = now;
        if catch_unwind(AssertUnwindSafe(|| self.run_core(now, ready))).is_err() {
            self.replace_core(now);
        }
        self.sockets.tcp.flush(&self.sockets.poller);
        for peer in self.core.take_unused_tcp() {
            self.sockets.tcp.close_peer(peer);
        }
        self.ring.push(&mut self.events);
        self.publish_if_due(now);
    }

    fn run_core(&mut self, now: Instant, ready: &[Readiness]) {
        for readiness in ready {
            self.take_readiness(now, *readiness);
        }
        self.take_commands(now);
        self.sockets.tcp.sweep(now, &self.sockets.poller);
        for peer in self.sockets.tcp.take_closed() {
            self.core.handle_tcp_closed(now, peer);
        }
        if self.core.next_timeout().is_some_and(|due| due <= now) {
            self.core.handle_timeout(now);
        }
        if self.core.flush_deadline().is_some_and(|due| due <= now) {
            let sockets = &mut self.sockets;
            self.core.flush(now, &mut |transmits| sockets.send(transmits));
        }
        self.drain_core();
    }

    fn take_readiness(&mut self, now: Instant, readiness: Readiness) {
        let core = &mut self.core;
        match readiness.token {
            WAKE => self.mailbox.clear_wake(),
            token if token >= FIRST_CONNECTION => {
                if readiness.writable {
                    self.sockets.tcp.write(token, &self.sockets.poller);
                }
                if readiness.readable {
                    self.sockets.tcp.read(now, token, |datagram| core.handle_datagram(now, datagram));
                }
            }
            token if token >= FIRST_LISTENER => self.sockets.tcp.accept(now, token, &self.sockets.poller),
            token => {
                let index = usize::try_from(token - FIRST_PORT).unwrap_or(usize::MAX);
                self.sockets.receive_udp(index, |datagram| core.handle_datagram(now, datagram));
            }
        }
    }

    fn take_commands(&mut self, now: Instant) {
        if self.commands.is_empty() || self.ring.is_full() {
            return;
        }
        for _ in 0..COMMANDS_PER_TURN {
            let Ok(command) = self.commands.try_recv() else { return };
            self.core.handle_command(now, command);
        }
    }

    fn drain_core(&mut self) {
        self.sockets.send(self.core.transmits());
        while let Some(event) = self.core.poll_event() {
            self.events.push(event);
        }
    }

    /// Puts an empty core in the place of one that has panicked.
    fn replace_core(&mut self, now: Instant) {
        tracing::error!(shard = self.index, "shard failed; its transports are gone");
        self.sockets.counters.failures += 1;
        self.past.add_core(self.core.counters());
        self.sockets.outgoing.iter_mut().for_each(Vec::clear);
        self.sockets.tcp.close_all();
        let _ = self.sockets.tcp.take_closed();
        let broken = std::mem::replace(&mut self.core, (self.make_core)(now));
        // Its state is inconsistent: dropping it may panic too.
        if catch_unwind(AssertUnwindSafe(|| drop(broken))).is_err() {
            tracing::error!(shard = self.index, "the failed shard could not be dropped");
        }
        self.events.push(Event::ShardFailed { shard: self.index });
    }

    /// Publishes the counters when the last time is long enough ago, else sets a timer.
    fn publish_if_due(&mut self, now: Instant) {
        match self.next_publish {
            Some(due) if now < due => {}
            Some(_) => {
                self.next_publish = None;
                self.publish();
            }
            // One more turn after the last one with work publishes it, and then the timer rests.
            None => self.next_publish = Some(now + PUBLISH_INTERVAL),
        }
    }

    fn publish(&mut self) {
        let counters = &mut self.sockets.counters;
        counters.cpu_us = u64::try_from(thread_cpu().as_micros()).unwrap_or(u64::MAX);
        counters.tcp = self.sockets.tcp.counters();
        self.mailbox.counters.publish(self.past.with_present(self.core.counters(), *counters));
    }

    /// Carries out what was submitted before the stop, closes every transport, sends the close alerts.
    fn close(&mut self, now: Instant) {
        let closing = AssertUnwindSafe(|| {
            while let Ok(command) = self.commands.try_recv() {
                self.core.handle_command(now, command);
            }
            self.core.close(now);
            self.core.flush(now, &mut |_| {});
            self.drain_core();
        });
        if catch_unwind(closing).is_err() {
            tracing::error!(shard = self.index, "shard failed while closing");
        }
        self.sockets.tcp.flush(&self.sockets.poller);
        self.ring.push(&mut self.events);
        self.publish();
    }
}

impl Sockets {
    fn receive_udp(&mut self, index: usize, mut datagram: impl FnMut(Datagram<'_>)) {
        let Some(port) = self.ports.get(index) else { return };
        let destination = port.address();
        for _ in 0..BATCHES_PER_TURN {
            let received = match port.receive(&mut self.batch) {
                Ok(received) => received,
                Err(error) => {
                    // An error of an earlier send (ICMP); reading it has cleared it.
                    tracing::debug!(%error, "socket error");
                    continue;
                }
            };
            for (source, payload) in self.batch.datagrams() {
                match payload {
                    Some(payload) => {
                        datagram(Datagram { carrier: Carrier::Udp, source, destination, payload });
                    }
                    None => self.counters.oversized += 1,
                }
            }
            if received < ReceiveBatch::CAPACITY {
                return;
            }
        }
    }

    /// Sends what the core has for the network, and clears it.
    fn send(&mut self, transmits: &mut Transmits) {
        if transmits.is_empty() {
            return;
        }
        self.sort_out(transmits);
        for (port, chosen) in self.ports.iter_mut().zip(&mut self.outgoing) {
            if !chosen.is_empty() {
                let outcome = port.send(self.now, &Chosen { transmits, positions: chosen });
                self.counters.add_sent(outcome);
                chosen.clear();
            }
        }
        transmits.clear();
    }

    /// Gives each port its datagrams, and the TCP connections theirs.
    fn sort_out(&mut self, transmits: &Transmits) {
        for (position, Transmit { path, contents }) in transmits.iter().enumerate() {
            if path.carrier == Carrier::Tcp {
                match self.tcp.send(path.source, path.destination, contents) {
                    TcpSend::Queued => {}
                    TcpSend::Full => self.counters.tcp_queue_full += 1,
                    TcpSend::Gone => self.counters.tcp_gone += 1,
                }
                continue;
            }
            match self.ports.iter().position(|port| port.address() == path.source) {
                Some(index) => self.outgoing[index].push(position),
                None => self.counters.sent.refused += 1,
            }
        }
    }
}

/// The datagrams of one port.
struct Chosen<'a> {
    transmits: &'a Transmits,
    positions: &'a [usize],
}

impl Datagrams for Chosen<'_> {
    fn count(&self) -> usize {
        self.positions.len()
    }

    fn datagram(&self, index: usize) -> (SocketAddr, &[u8]) {
        let transmit = self.transmits.get(self.positions[index]);
        transmit.map_or((UNSPECIFIED, &[]), |transmit| (transmit.path.destination, transmit.contents))
    }
}

/// Where nothing goes.
const UNSPECIFIED: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

#[cfg(test)]
mod tests;
