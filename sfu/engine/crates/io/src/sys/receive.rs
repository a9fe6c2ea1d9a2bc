//! `recvmmsg` into buffers that are used again and again.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::address::RawAddress;
use super::checked;

/// Datagrams per call.
const SLOTS: usize = 64;

/// Larger datagrams are cut off and reported as such: media, DTLS and SCTP all stay below an Ethernet frame.
const SLOT_BYTES: usize = 2048;

/// Room for one batch of datagrams.
pub struct ReceiveBatch {
    buffers: Box<[[u8; SLOT_BYTES]]>,
    addresses: Box<[RawAddress]>,
    /// Bytes of each datagram; `None` when it was larger than a slot.
    sizes: Vec<Option<usize>>,
}

impl std::fmt::Debug for ReceiveBatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReceiveBatch").field("received", &self.sizes.len()).finish_non_exhaustive()
    }
}

impl ReceiveBatch {
    /// Most datagrams of one batch.
    pub const CAPACITY: usize = SLOTS;

    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffers: vec![[0; SLOT_BYTES]; SLOTS].into_boxed_slice(),
            addresses: vec![RawAddress::empty(); SLOTS].into_boxed_slice(),
            sizes: Vec::with_capacity(SLOTS),
        }
    }

    /// Takes what waits at `socket`, at most [`ReceiveBatch::CAPACITY`]; returns how many. 0: nothing waits.
    ///
    /// # Errors
    /// Any but "nothing waits": a pending error of the socket; the next call goes on.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.sizes.clear();
        let received = match self.receive_messages(socket) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
            result => result?,
        };
        Ok(received)
    }

    fn receive_messages(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // The structures hold pointers, so they are built for one call: 64 of them cost less than a tenth of the call.
        let mut vectors: [libc::iovec; SLOTS] = std::array::from_fn(|slot| libc::iovec {
            iov_base: self.buffers[slot].as_mut_ptr().cast(),
            iov_len: SLOT_BYTES,
        });
        let mut messages: [libc::mmsghdr; SLOTS] = std::array::from_fn(|slot| {
            // SAFETY: all zero is a valid mmsghdr: null pointers and lengths of zero.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_name = (&raw mut self.addresses[slot]).cast();
            message.msg_hdr.msg_namelen = RawAddress::CAPACITY;
            message.msg_hdr.msg_iov = &raw mut vectors[slot];
            message.msg_hdr.msg_iovlen = 1;
            message
        });
        // SAFETY: every message points to its own address, vector and buffer with their true sizes; all of them live
        // until the call returns, and nothing else touches them meanwhile.
        let received = checked(unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                messages.as_mut_ptr(),
                libc::c_uint::try_from(SLOTS).unwrap_or(1),
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        })?;
        let received = usize::try_from(received).unwrap_or(0);
        self.sizes.extend(messages[..received].iter().map(|message| {
            let whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            whole.then_some(usize::try_from(message.msg_len).unwrap_or(SLOT_BYTES))
        }));
        Ok(received)
    }

    /// The datagrams of the last call: source and bytes, `None` in place of bytes when it was too large for us.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, Option<&[u8]>)> {
        let slots = self.sizes.iter().zip(&self.addresses).zip(&self.buffers);
        slots.filter_map(|((size, address), buffer)| {
            Some((address.decode()?, size.map(|size| &buffer[..size])))
        })
    }
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}
