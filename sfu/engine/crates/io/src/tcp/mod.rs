//! Passive ICE-TCP (RFC 6544): listeners and their connections, with bounds on what strangers can make us hold.
//!
//! Owns the sockets; frames go out through a callback, closed peers through [`TcpSide::take_closed`]. Never looks into
//! a datagram.

mod connection;
mod framing;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use plenum_core::{Carrier, Datagram};
use rustc_hash::FxHashMap;

use self::connection::{Connection, Ended};
use crate::config::TcpLimits;
use crate::sys::{Interest, Poller};

/// What became of one datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpSend {
    /// It waits for [`TcpSide::flush`].
    Queued,
    /// The peer reads too slowly.
    Full,
    /// There is no such connection any more.
    Gone,
}

/// Totals and the current number of connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TcpCounters {
    /// Currently open.
    pub(crate) connections: u64,
    /// Closed, or never taken, because a limit was reached.
    pub(crate) refused: u64,
    /// Closed because nobody was heard, or no transport wanted them.
    pub(crate) timed_out: u64,
}

/// Bytes read from one connection at a time; the others come first then.
const READ_BYTES: usize = 64 * 1024;

/// Connections accepted from one listener at a time.
const ACCEPTS_PER_TURN: usize = 64;

/// How often time-outs are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct TcpSide {
    listeners: Vec<Listener>,
    connections: FxHashMap<u64, Connection>,
    by_addresses: FxHashMap<(SocketAddr, SocketAddr), u64>,
    /// Connections that no transport has accepted yet; their numbers rise, so that the first is the oldest.
    unproven: BTreeSet<u64>,
    limits: TcpLimits,
    next_id: u64,
    next_sweep: Option<Instant>,
    /// Connections with a changed queue.
    dirty: Vec<u64>,
    closed: Vec<SocketAddr>,
    scratch: Box<[u8]>,
    counters: TcpCounters,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    token: u64,
    /// Not watched until the next sweep, because the process is out of descriptors.
    paused: bool,
}

impl TcpSide {
    /// Watches `listeners` (non-blocking already); their tokens are `first_token` and up. Connections get the tokens from
    /// `first_connection` on, never one twice.
    pub(crate) fn new(
        listeners: Vec<TcpListener>,
        limits: TcpLimits,
        poller: &Poller,
        first_token: u64,
        first_connection: u64,
    ) -> io::Result<Self> {
        let listeners: Vec<Listener> = listeners
            .into_iter()
            .zip(first_token..)
            .map(|(socket, token)| Listener { socket, token, paused: false })
            .collect();
        for listener in &listeners {
            poller.add(listener.socket.as_fd(), listener.token, Interest::READ)?;
        }
        Ok(Self {
            listeners,
            connections: FxHashMap::default(),
            by_addresses: FxHashMap::default(),
            unproven: BTreeSet::new(),
            limits,
            next_id: first_connection,
            next_sweep: None,
            dirty: Vec::new(),
            closed: Vec::new(),
            scratch: vec![0; READ_BYTES].into_boxed_slice(),
            counters: TcpCounters::default(),
        })
    }

    pub(crate) fn counters(&self) -> TcpCounters {
        TcpCounters { connections: self.connections.len() as u64, ..self.counters }
    }

    /// When [`TcpSide::sweep`] wants to run.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        self.next_sweep
    }

    /// Peers whose connection has ended since the last call.
    pub(crate) fn take_closed(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.closed)
    }

    /// Takes the connections that wait at the listener with `token`.
    pub(crate) fn accept(&mut self, now: Instant, token: u64, poller: &Poller) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listeners.iter_mut().find(|listener| listener.token == token) else {
                return;
            };
            match listener.socket.accept() {
                Ok((stream, peer)) => {
                    self.make_room(network_of(peer.ip()));
                    let full = self.connections.len() >= self.limits.connections;
                    if full || self.admit(now, Connection::new(stream, peer, now), poller).is_err() {
                        self.counters.refused += 1;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
                    ) =>
                {
                    tracing::warn!(%error, "accepting paused");
                    let idle = Interest { read: false, write: false };
                    listener.paused = poller.modify(listener.socket.as_fd(), token, idle).is_ok();
                    self.next_sweep.get_or_insert(now + SWEEP_INTERVAL);
                    return;
                }
                // The peer gave up before we came to it.
                Err(_) => {}
            }
        }
    }

    /// Closes what must make way for one more unproven connection from `network`.
    fn make_room(&mut self, network: IpAddr) {
        let unproven = self.unproven.iter().copied();
        let is_near = |id: &u64| {
            self.connections.get(id).is_some_and(|connection| network_of(connection.peer.ip()) == network)
        };
        let near: Vec<u64> = unproven.filter(is_near).collect();
        let limits = &self.limits;
        let is_full = self.unproven.len() >= limits.unproven || self.connections.len() >= limits.connections;
        let oldest = match near.first() {
            Some(id) if near.len() >= limits.unproven_per_network => Some(*id),
            _ if is_full => self.unproven.first().copied(),
            _ => None,
        };
        if let Some(id) = oldest {
            self.counters.refused += 1;
            self.close(id);
        }
    }

    fn admit(&mut self, now: Instant, connection: io::Result<Connection>, poller: &Poller) -> io::Result<()> {
        let connection = connection?;
        let id = self.next_id;
        poller.add(connection.as_fd(), id, Interest::READ)?;
        self.next_id += 1;
        self.unproven.insert(id);
        self.by_addresses.insert((connection.local, connection.peer), id);
        self.connections.insert(id, connection);
        self.next_sweep.get_or_insert(now + SWEEP_INTERVAL);
        Ok(())
    }

    /// Reads from connection `id`; calls `datagram` for each complete frame.
    pub(crate) fn read(&mut self, now: Instant, id: u64, mut datagram: impl FnMut(Datagram<'_>)) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (source, destination) = (connection.peer, connection.local);
        let result = connection.read(now, &mut self.scratch, |payload| {
            datagram(Datagram { carrier: Carrier::Tcp, source, destination, payload });
        });
        if result == Err(Ended) {
            self.close(id);
        }
    }

    /// Queues one datagram for the connection between `local` and `peer`.
    pub(crate) fn send(&mut self, local: SocketAddr, peer: SocketAddr, bytes: &[u8]) -> TcpSend {
        let Some(&id) = self.by_addresses.get(&(local, peer)) else { return TcpSend::Gone };
        let Some(connection) = self.connections.get_mut(&id) else { return TcpSend::Gone };
        if !connection.enqueue(bytes, self.limits.write_queue_bytes) {
            return TcpSend::Full;
        }
        if !connection.proven {
            connection.proven = true;
            self.unproven.remove(&id);
        }
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(id);
        }
        TcpSend::Queued
    }

    /// Writes what was queued since the last call: one system call per connection and turn.
    pub(crate) fn flush(&mut self, poller: &Poller) {
        for id in std::mem::take(&mut self.dirty) {
            self.write(id, poller);
        }
    }

    /// Goes on writing to connection `id`.
    pub(crate) fn write(&mut self, id: u64, poller: &Poller) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.dirty = false;
        let result = connection.write().and_then(|all_written| {
            let watch = !all_written;
            if watch != connection.watching {
                let interest = Interest { read: true, write: watch };
                poller.modify(connection.as_fd(), id, interest).map_err(|_| Ended)?;
                connection.watching = watch;
            }
            Ok(())
        });
        if result == Err(Ended) {
            self.close(id);
        }
    }

    /// Closes connections that nobody uses and wakes paused listeners.
    pub(crate) fn sweep(&mut self, now: Instant, poller: &Poller) {
        if self.next_sweep.is_none_or(|due| now < due) {
            return;
        }
        let limits = &self.limits;
        let silent = |connection: &Connection| {
            // A stranger who trickles bytes does not win time by it.
            let (since, limit) = if connection.proven {
                (connection.heard, limits.idle_timeout)
            } else {
                (connection.opened, limits.unproven_timeout)
            };
            now.saturating_duration_since(since) >= limit
        };
        let expired: Vec<u64> =
            self.connections.iter().filter(|(_, connection)| silent(connection)).map(|(&id, _)| id).collect();
        for id in expired {
            self.counters.timed_out += 1;
            self.close(id);
        }
        for listener in self.listeners.iter_mut().filter(|listener| listener.paused) {
            let resumed = poller.modify(listener.socket.as_fd(), listener.token, Interest::READ);
            listener.paused = resumed.is_err();
        }
        let needed = !self.connections.is_empty() || self.listeners.iter().any(|listener| listener.paused);
        self.next_sweep = needed.then(|| now + SWEEP_INTERVAL);
    }

    /// Closes every connection.
    pub(crate) fn close_all(&mut self) {
        let all: Vec<u64> = self.connections.keys().copied().collect();
        for id in all {
            self.close(id);
        }
    }

    /// Closes the connections of a peer that no transport knows any more; what waits for it has been written.
    pub(crate) fn close_peer(&mut self, peer: SocketAddr) {
        let found = |local: SocketAddr| self.by_addresses.get(&(local, peer)).copied();
        let locals = self.listeners.iter().filter_map(|listener| listener.socket.local_addr().ok());
        let ids: Vec<u64> = locals.filter_map(found).collect();
        for id in ids {
            self.close(id);
        }
    }

    fn close(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        self.unproven.remove(&id);
        let addresses = (connection.local, connection.peer);
        // After a reset the peer may have come back from the same port before the old socket was looked at.
        if self.by_addresses.get(&addresses) == Some(&id) {
            self.by_addresses.remove(&addresses);
            self.closed.push(connection.peer);
        }
    }
}

/// Whose connections count together: an IPv6 site has all the addresses of its /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests;
