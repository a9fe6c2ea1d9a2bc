//! One ICE-TCP connection: reads frames, writes from a bounded queue. Knows nothing of its neighbours.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use super::framing::{FrameReader, append_frame};

/// The connection is over: closed by the peer, broken, or not ICE-TCP at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    reader: FrameReader,
    queue: Vec<u8>,
    /// Bytes of `queue` that the kernel has taken.
    written: usize,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
    /// Something was sent to the peer: a transport has accepted it.
    pub(super) proven: bool,
    /// When it was accepted.
    pub(super) opened: Instant,
    /// Last time something came in.
    pub(super) heard: Instant,
    /// `queue` changed since the last `write`.
    pub(super) dirty: bool,
    /// The poller watches for room in the send buffer.
    pub(super) watching: bool,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            local: stream.local_addr()?,
            stream,
            reader: FrameReader::default(),
            queue: Vec::new(),
            written: 0,
            peer,
            proven: false,
            opened: now,
            heard: now,
            dirty: false,
            watching: false,
        })
    }

    /// Reads once into `scratch` and hands out the complete frames.
    pub(super) fn read(
        &mut self,
        now: Instant,
        scratch: &mut [u8],
        frame: impl FnMut(&[u8]),
    ) -> Result<(), Ended> {
        match self.stream.read(scratch) {
            Ok(0) => Err(Ended),
            Ok(count) => {
                self.heard = now;
                self.reader.push(&scratch[..count], frame).map_err(|_| Ended)
            }
            Err(error) if is_temporary(&error) => Ok(()),
            Err(_) => Err(Ended),
        }
    }

    /// Queues one datagram; false when it does not fit.
    pub(super) fn enqueue(&mut self, datagram: &[u8], limit_bytes: usize) -> bool {
        // What was written already is cut off only when room is short: moving bytes is not free.
        if self.written > 0 && self.queue.len() + datagram.len() + 2 > limit_bytes {
            self.queue.drain(..self.written);
            self.written = 0;
        }
        append_frame(&mut self.queue, datagram, limit_bytes)
    }

    /// Writes as much as the kernel takes; true when nothing is left.
    pub(super) fn write(&mut self) -> Result<bool, Ended> {
        while self.written < self.queue.len() {
            match self.stream.write(&self.queue[self.written..]) {
                Ok(0) => return Err(Ended),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Err(Ended),
            }
        }
        self.queue.clear();
        self.written = 0;
        Ok(true)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
