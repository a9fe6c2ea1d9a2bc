//! Connections over loopback; time is passed in, so the time-outs are tested without waiting.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::sys::Readiness;

const LISTENER: u64 = 10;
const CONNECTIONS: u64 = 100;
/// Bounds a failing test; a passing one never waits that long.
const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    side: TcpSide,
    poller: Poller,
    address: SocketAddr,
    now: Instant,
    received: Vec<(SocketAddr, Vec<u8>)>,
}

impl Bench {
    fn new(limits: TcpLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let poller = Poller::new().unwrap();
        let side = TcpSide::new(vec![listener], limits, &poller, LISTENER, CONNECTIONS).unwrap();
        Self { side, poller, address, now: Instant::now(), received: Vec::new() }
    }

    /// Runs the side until `done`.
    fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let mut ready: Vec<Readiness> = Vec::new();
        while !done(self) {
            self.poller.wait(Some(PATIENCE), &mut ready).unwrap();
            assert!(!ready.is_empty(), "nothing happened");
            for readiness in &ready {
                if readiness.token == LISTENER {
                    self.side.accept(self.now, LISTENER, &self.poller);
                    continue;
                }
                if readiness.writable {
                    self.side.write(readiness.token, &self.poller);
                }
                if readiness.readable {
                    let received = &mut self.received;
                    self.side.read(self.now, readiness.token, |datagram| {
                        assert_eq!(datagram.carrier, Carrier::Tcp);
                        received.push((datagram.source, datagram.payload.to_vec()));
                    });
                }
            }
        }
    }

    fn connect(&mut self) -> TcpStream {
        let dealt_with = |bench: &Self| bench.side.next_id + bench.side.counters.refused;
        let before = dealt_with(self);
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.run_until(|bench| dealt_with(bench) > before);
        stream
    }

    fn send(&mut self, stream: &TcpStream, bytes: &[u8]) -> TcpSend {
        self.side.send(self.address, stream.local_addr().unwrap(), bytes)
    }

    fn sweep_after(&mut self, time: Duration) {
        self.now += time;
        self.side.sweep(self.now, &self.poller);
    }
}

fn is_closed(stream: &mut TcpStream) -> bool {
    // A reset counts as closed too: the side closes without reading what was sent to it.
    !matches!(stream.read(&mut [0; 16]), Ok(1..))
}

#[test]
fn frames_come_in_and_go_out() {
    let mut bench = Bench::new(TcpLimits::default());
    let mut stream = bench.connect();
    stream.write_all(b"\0\x03abc\0\x02de").unwrap();
    bench.run_until(|bench| bench.received.len() == 2);
    let peer = stream.local_addr().unwrap();
    assert_eq!(bench.received, [(peer, b"abc".to_vec()), (peer, b"de".to_vec())]);
    assert_eq!(bench.send(&stream, b"hello"), TcpSend::Queued);
    assert_eq!(bench.send(&stream, b"you"), TcpSend::Queued);
    bench.side.flush(&bench.poller);
    let mut reply = [0; 12];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\0\x05hello\0\x03you");
}

#[test]
fn the_end_of_a_connection_is_told_once() {
    let mut bench = Bench::new(TcpLimits::default());
    let stream = bench.connect();
    let peer = stream.local_addr().unwrap();
    drop(stream);
    bench.run_until(|bench| bench.side.connections.is_empty());
    assert_eq!(bench.side.take_closed(), [peer]);
    assert_eq!(bench.side.take_closed(), []);
    assert_eq!(bench.side.send(bench.address, peer, b"x"), TcpSend::Gone);
    assert_eq!((bench.side.unproven.len(), bench.side.by_addresses.len()), (0, 0));
}

#[test]
fn another_protocol_is_turned_away_at_its_first_bytes() {
    let mut bench = Bench::new(TcpLimits::default());
    let mut stream = bench.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    bench.run_until(|bench| bench.side.connections.is_empty());
    assert!(is_closed(&mut stream));
    assert_eq!(bench.received, []);
}

#[test]
fn a_peer_that_does_not_read_loses_datagrams_and_holds_little() {
    let limits = TcpLimits { write_queue_bytes: 64 * 1024, ..TcpLimits::default() };
    let mut bench = Bench::new(limits);
    let mut slow = bench.connect();
    let mut other = bench.connect();
    let mut queued = 0_usize;
    // The kernel takes a few megabytes before it says stop.
    while bench.send(&slow, &[7; 1200]) == TcpSend::Queued {
        queued += 1;
        bench.side.flush(&bench.poller);
        assert!(queued < 100_000);
    }
    assert_eq!(bench.send(&other, b"ok"), TcpSend::Queued);
    bench.side.flush(&bench.poller);
    let mut reply = [0; 4];
    other.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"\0\x02ok");
    // Once it reads again, what was queued arrives whole.
    let reader = std::thread::spawn(move || {
        let mut frame = [0; 1202];
        for _ in 0..queued {
            slow.read_exact(&mut frame).unwrap();
            assert_eq!(frame[..3], [0x04, 0xb0, 7]);
        }
        slow
    });
    bench.run_until(|bench| bench.side.connections.values().all(|connection| !connection.watching));
    reader.join().unwrap();
}

#[test]
fn connections_are_capped() {
    let mut bench = Bench::new(TcpLimits { connections: 3, unproven: 2, ..TcpLimits::default() });
    let mut first = bench.connect();
    let second = bench.connect();
    let third = bench.connect();
    assert!(is_closed(&mut first), "two unproven ones are the limit, and the oldest makes way");
    bench.send(&second, b"hello");
    bench.send(&third, b"hello");
    let mut fourth = bench.connect();
    let fifth = bench.connect();
    assert!(is_closed(&mut fourth), "three of any kind are the limit");
    bench.send(&fifth, b"hello");
    let mut sixth = bench.connect();
    assert!(is_closed(&mut sixth), "nobody makes way but a stranger");
    assert_eq!(bench.side.counters(), TcpCounters { connections: 3, refused: 3, timed_out: 0 });
}

#[test]
fn one_address_crowds_out_itself_alone() {
    let limits = TcpLimits { unproven: 4, unproven_per_network: 2, ..TcpLimits::default() };
    let mut bench = Bench::new(limits);
    let mut crowd: Vec<TcpStream> = (0..3).map(|_| bench.connect()).collect();
    assert!(is_closed(&mut crowd[0]));
    assert_eq!(bench.side.counters(), TcpCounters { connections: 2, refused: 1, timed_out: 0 });
    let net = |text: &str| network_of(text.parse().unwrap());
    assert_eq!(net("2001:db8::1"), net("2001:db8::ffff:0:0:2"));
    assert_ne!(net("2001:db8::1"), net("2001:db8:0:1::1"));
    assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
    assert_ne!(net("192.0.2.2"), net("192.0.2.1"));
}

#[test]
fn a_peer_that_no_transport_knows_is_closed_after_its_last_datagram() {
    let mut bench = Bench::new(TcpLimits::default());
    let mut stream = bench.connect();
    let mut other = bench.connect();
    assert_eq!(bench.send(&stream, b"bye"), TcpSend::Queued);
    assert_eq!(bench.send(&other, b"hi"), TcpSend::Queued);
    bench.side.flush(&bench.poller);
    bench.side.close_peer(stream.local_addr().unwrap());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"\0\x03bye");
    let mut reply = [0; 4];
    other.read_exact(&mut reply).unwrap();
    assert_eq!(bench.side.connections.len(), 1);
}

#[test]
fn the_end_of_an_old_connection_leaves_the_new_one_from_the_same_port_alone() {
    let mut bench = Bench::new(TcpLimits::default());
    let old = bench.connect();
    let peer = old.local_addr().unwrap();
    let new = bench.connect();
    // As if the new one had come from the port of the old one, whose end was not read yet.
    let (old_id, new_id) = (CONNECTIONS, CONNECTIONS + 1);
    bench.side.by_addresses.remove(&(bench.address, new.local_addr().unwrap()));
    bench.side.by_addresses.insert((bench.address, peer), new_id);
    bench.side.connections.get_mut(&new_id).unwrap().peer = peer;
    bench.side.close(old_id);
    assert_eq!(bench.side.take_closed(), [], "the address is in use");
    assert_eq!(bench.side.send(bench.address, peer, b"x"), TcpSend::Queued);
}

#[test]
fn strangers_and_the_silent_are_timed_out() {
    let limits = TcpLimits {
        unproven_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(30),
        ..TcpLimits::default()
    };
    let mut bench = Bench::new(limits);
    assert_eq!(bench.side.next_timeout(), None);
    let mut stranger = bench.connect();
    let mut member = bench.connect();
    bench.send(&member, b"hello");
    bench.sweep_after(Duration::from_secs(9));
    // Trickling bytes does not help a stranger.
    stranger.write_all(&[0]).unwrap();
    member.write_all(b"\0\x01x").unwrap();
    bench.run_until(|bench| bench.received.len() == 1);
    bench.sweep_after(Duration::from_secs(2));
    assert_eq!(bench.side.take_closed(), [stranger.local_addr().unwrap()]);
    bench.sweep_after(Duration::from_secs(27));
    assert_eq!(bench.side.take_closed(), []);
    bench.sweep_after(Duration::from_secs(1));
    assert_eq!(bench.side.take_closed(), [member.local_addr().unwrap()]);
    assert_eq!(bench.side.next_timeout(), None, "no connection, no timer");
}
