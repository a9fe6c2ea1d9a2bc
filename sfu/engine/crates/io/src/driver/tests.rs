//! The loop over real loopback sockets with a core that echoes, panics when told so, and is done with who says so.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc;

use plenum_core::{DownTrackId, DropReason, ParticipantId, Path};

use super::*;
use crate::counters::sum_named;
use crate::link::ShardLink;

/// Bounds a failing test; a passing one never waits that long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Echoes datagrams at the next flush, panics at the datagram `panic`, has done with who sends `leave`, answers each command with an event.
struct Echo {
    transmits: Transmits,
    held: Transmits,
    events: VecDeque<Event>,
    flush_at: Option<Instant>,
    timer: Option<Instant>,
    unused_tcp: Vec<SocketAddr>,
    counters: Counters,
}

impl Echo {
    fn new() -> Self {
        Self {
            transmits: Transmits::default(),
            held: Transmits::default(),
            events: VecDeque::new(),
            flush_at: None,
            timer: None,
            unused_tcp: Vec::new(),
            counters: Counters::new(),
        }
    }
}

impl Core for Echo {
    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::RemoveParticipant { participant } => {
                self.events.push_back(Event::DownTrackBound {
                    down_track: DownTrackId(participant.0),
                    mime_types: Vec::new(),
                });
            }
            _ => self.timer = Some(now + Duration::from_millis(5)),
        }
    }

    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        assert_ne!(datagram.payload, b"panic", "as told");
        self.counters.datagrams_in += 1;
        if datagram.payload == b"leave" {
            self.unused_tcp.push(datagram.source);
        }
        let path =
            Path { carrier: datagram.carrier, source: datagram.destination, destination: datagram.source };
        self.held.push(path, datagram.payload);
        self.flush_at.get_or_insert(now + Duration::from_millis(3));
    }

    fn handle_tcp_closed(&mut self, _now: Instant, _peer: SocketAddr) {
        self.counters.count_drop(DropReason::UnknownSource);
    }

    fn take_unused_tcp(&mut self) -> Vec<SocketAddr> {
        if self.held.is_empty() { std::mem::take(&mut self.unused_tcp) } else { Vec::new() }
    }

    fn handle_timeout(&mut self, _now: Instant) {
        if self.timer.take().is_some() {
            self.events
                .push_back(Event::DownTrackBound { down_track: DownTrackId(0), mime_types: Vec::new() });
        }
    }

    fn flush_deadline(&self) -> Option<Instant> {
        self.flush_at
    }

    fn flush(&mut self, _now: Instant, _relief: &mut dyn FnMut(&mut Transmits)) {
        self.flush_at = None;
        self.transmits = std::mem::take(&mut self.held);
    }

    fn transmits(&mut self) -> &mut Transmits {
        &mut self.transmits
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.timer
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn close(&mut self, _now: Instant) {
        self.events.push_back(Event::DownTrackBound { down_track: DownTrackId(99), mime_types: Vec::new() });
    }
}

struct Running {
    link: ShardLink,
    ring: Arc<EventRing>,
    udp: Vec<SocketAddr>,
    tcp: SocketAddr,
}

impl Running {
    fn start(high_water: usize) -> Self {
        let ports: Vec<UdpPort> = ["127.0.0.1:0", "127.0.0.2:0"]
            .map(|address| UdpPort::bind(address.parse().unwrap(), 1 << 20).unwrap())
            .into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let ring = Arc::new(EventRing::new(high_water).unwrap());
        let (udp, tcp) = (ports.iter().map(UdpPort::address).collect(), listener.local_addr().unwrap());
        let config =
            DriverConfig { index: 3, ports, listeners: vec![listener], tcp_limits: TcpLimits::default() };
        let theirs = Arc::clone(&ring);
        let link = ShardLink::start(3, 64, move |mailbox, commands| {
            let driver = Driver::new(config, Box::new(|_| Echo::new()), mailbox, commands, theirs).unwrap();
            driver.run().unwrap();
        })
        .unwrap();
        Self { link, ring, udp, tcp }
    }

    fn socket(&self, port: usize) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(self.udp[port]).unwrap();
        socket
    }

    /// Waits for the next events.
    fn events(&self) -> Vec<Event> {
        let mut poller = Poller::new().unwrap();
        poller.add(self.ring.as_fd(), 0, Interest::READ).unwrap();
        let mut ready = Vec::new();
        poller.wait(Some(PATIENCE), &mut ready).unwrap();
        assert!(!ready.is_empty(), "no event");
        self.ring.drain(usize::MAX)
    }

    fn stop(self) -> Vec<(String, u64)> {
        self.link.ask_to_stop();
        self.link.join();
        sum_named(std::iter::once(self.link.counters()))
    }
}

fn count(counters: &[(String, u64)], name: &str) -> u64 {
    counters.iter().find(|(found, _)| found == name).unwrap().1
}

fn exchange(socket: &UdpSocket, bytes: &[u8]) -> Vec<u8> {
    socket.send(bytes).unwrap();
    let mut buffer = [0; 2048];
    let count = socket.recv(&mut buffer).unwrap();
    buffer[..count].to_vec()
}

#[test]
fn datagrams_leave_by_the_socket_that_they_came_to() {
    let running = Running::start(100);
    for port in [0, 1, 0] {
        let socket = running.socket(port);
        assert_eq!(exchange(&socket, b"ping"), b"ping");
    }
    let counters = running.stop();
    assert_eq!(count(&counters, "datagrams_in"), 3);
    assert_eq!(count(&counters, "udp_sent"), 3);
}

#[test]
fn tcp_frames_are_echoed_and_the_end_is_told() {
    let running = Running::start(100);
    let mut stream = TcpStream::connect(running.tcp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"\0\x04ping").unwrap();
    let mut reply = [0; 6];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\0\x04ping");
    stream.write_all(b"\xff\xff").unwrap();
    assert_eq!(stream.read(&mut reply).unwrap(), 0);
    // One exchange by UDP later, the end has certainly been dealt with.
    exchange(&running.socket(0), b"x");
    let counters = running.stop();
    assert_eq!(count(&counters, "dropped.unknown_source"), 1);
    assert_eq!(count(&counters, "tcp_connections"), 0);
}

#[test]
fn a_connection_that_the_core_has_done_with_is_closed() {
    let running = Running::start(100);
    let mut stream = TcpStream::connect(running.tcp).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"\0\x05leave").unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"\0\x05leave", "the last datagram first");
    running.stop();
}

#[test]
fn commands_are_answered_and_timers_run() {
    let running = Running::start(100);
    running.link.submit(Command::RemoveParticipant { participant: ParticipantId(5) }).unwrap();
    assert!(matches!(running.events()[..], [Event::DownTrackBound { down_track: DownTrackId(5), .. }]));
    let snapshot = Command::Snapshot { request: 1.into(), transport: 1.into() };
    running.link.submit(snapshot).unwrap();
    assert!(matches!(running.events()[..], [Event::DownTrackBound { down_track: DownTrackId(0), .. }]));
}

#[test]
fn a_panic_costs_the_core_and_not_the_thread() {
    let running = Running::start(100);
    let socket = running.socket(0);
    exchange(&socket, b"before");
    socket.send(b"panic").unwrap();
    assert!(matches!(running.events()[..], [Event::ShardFailed { shard: 3 }]));
    assert_eq!(exchange(&socket, b"after"), b"after");
    let counters = running.stop();
    assert_eq!(count(&counters, "datagrams_in"), 2, "totals outlive the core that counted them");
    assert_eq!(count(&counters, "shard_failures"), 1);
}

#[test]
fn a_full_ring_holds_commands_back_until_it_is_drained() {
    let running = Running::start(2);
    for id in 0..2 {
        running.link.submit(Command::RemoveParticipant { participant: ParticipantId(id) }).unwrap();
        // One by one, so that the ring is looked at between them.
        while running.ring.is_full() == (id == 0) {
            std::thread::yield_now();
        }
    }
    running.link.submit(Command::RemoveParticipant { participant: ParticipantId(7) }).unwrap();
    // An exchange needs several turns, none of which may take the command.
    exchange(&running.socket(0), b"x");
    assert_eq!(running.ring.drain(usize::MAX).len(), 2);
    running.link.wake();
    assert!(matches!(running.events()[..], [Event::DownTrackBound { down_track: DownTrackId(7), .. }]));
}

#[test]
fn the_command_queue_is_bounded() {
    let (gate, opened) = mpsc::channel::<()>();
    let link = ShardLink::start(0, 2, move |_mailbox, _commands| {
        let _ = opened.recv();
    })
    .unwrap();
    let command = || Command::RemoveParticipant { participant: ParticipantId(1) };
    assert_eq!(link.submit(command()), Ok(()));
    assert_eq!(link.submit(command()), Ok(()));
    assert_eq!(link.submit(command()), Err(crate::SubmitError::QueueFull));
    link.ask_to_stop();
    assert_eq!(link.submit(command()), Err(crate::SubmitError::Stopped));
    drop(gate);
    link.join();
    link.join();
}

#[test]
fn stop_carries_out_what_was_submitted_and_closes() {
    let running = Running::start(100);
    running.link.submit(Command::RemoveParticipant { participant: ParticipantId(1) }).unwrap();
    let ring = Arc::clone(&running.ring);
    running.stop();
    let bound: Vec<u64> = ring
        .drain(usize::MAX)
        .iter()
        .map(|event| match event {
            Event::DownTrackBound { down_track, .. } => down_track.0,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(bound, [1, 99]);
}
