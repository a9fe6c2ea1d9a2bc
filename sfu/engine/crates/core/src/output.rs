//! What a shard hands to the network side: datagrams one behind the other in one buffer, so that a run of them to one
//! peer can leave with one call and without another copy. No logic.

use std::net::SocketAddr;

use crate::input::Carrier;

/// Datagrams that are worth a call of their own: enough for whole runs …
const FULL_DATAGRAMS: usize = 128;
/// … and few enough to stay in the processor's cache.
const FULL_BYTES: usize = 160 * 1_024;

/// Which way a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// How to send it.
    pub carrier: Carrier,
    /// Our address to send it from.
    pub source: SocketAddr,
    /// Peer; with TCP it names the connection.
    pub destination: SocketAddr,
}

/// One datagram to send.
#[derive(Debug, Clone, Copy)]
pub struct Transmit<'a> {
    /// Its way.
    pub path: Path,
    /// Bytes; with TCP without the RFC 4571 length.
    pub contents: &'a [u8],
}

/// Datagrams to send, in order.
#[derive(Debug, Default)]
pub struct Transmits {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    path: Path,
    start: usize,
    end: usize,
}

impl Transmits {
    /// Appends a datagram.
    pub fn push(&mut self, path: Path, contents: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(contents);
        self.entries.push(Entry { path, start, end: self.bytes.len() });
    }

    /// Appends a datagram that `write` appends to the bytes before it. Gives its length.
    ///
    /// # Errors
    /// Those of `write`, which must then leave the bytes as they were.
    pub(crate) fn write<E>(
        &mut self,
        path: Path,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let start = self.bytes.len();
        write(&mut self.bytes)?;
        let end = self.bytes.len();
        self.entries.push(Entry { path, start, end });
        Ok(end - start)
    }

    /// Number of datagrams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it is time to send.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.entries.len() >= FULL_DATAGRAMS || self.bytes.len() >= FULL_BYTES
    }

    /// The datagram at a position below [`Self::len`].
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Transmit<'_>> {
        let entry = self.entries.get(index)?;
        Some(Transmit { path: entry.path, contents: self.bytes.get(entry.start..entry.end)? })
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Transmit<'_>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    /// Forgets all; the memory serves again.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}
