//! `recvmmsg` into buffers that are used again and again.

use std::cell::UnsafeCell;
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
///
/// The kernel's structures point into the other fields, which are therefore never moved, resized or borrowed mutably
/// after they were made; they are reached through [`UnsafeCell`] alone, because the kernel writes behind these pointers.
pub struct ReceiveBatch {
    buffers: Vec<UnsafeCell<[u8; SLOT_BYTES]>>,
    addresses: Vec<UnsafeCell<RawAddress>>,
    /// Only pointed to: one vector per message, naming its buffer.
    _vectors: Vec<UnsafeCell<libc::iovec>>,
    messages: Vec<libc::mmsghdr>,
    received: usize,
}

// SAFETY: all pointers in `messages` and `_vectors` lead into heap memory that the same value owns and nobody shares.
unsafe impl Send for ReceiveBatch {}

impl std::fmt::Debug for ReceiveBatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ReceiveBatch").field("received", &self.received).finish_non_exhaustive()
    }
}

impl ReceiveBatch {
    /// Most datagrams of one batch.
    pub const CAPACITY: usize = SLOTS;

    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        let buffers: Vec<UnsafeCell<[u8; SLOT_BYTES]>> =
            (0..SLOTS).map(|_| UnsafeCell::new([0; SLOT_BYTES])).collect();
        let addresses: Vec<UnsafeCell<RawAddress>> =
            (0..SLOTS).map(|_| UnsafeCell::new(RawAddress::empty())).collect();
        let vectors: Vec<UnsafeCell<libc::iovec>> = buffers
            .iter()
            .map(|buffer| UnsafeCell::new(libc::iovec { iov_base: buffer.get().cast(), iov_len: SLOT_BYTES }))
            .collect();
        let message = |(address, vector): (&UnsafeCell<RawAddress>, &UnsafeCell<libc::iovec>)| {
            // SAFETY: all zero is a valid mmsghdr: null pointers and lengths of zero.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_name = address.get().cast();
            message.msg_hdr.msg_namelen = RawAddress::CAPACITY;
            message.msg_hdr.msg_iov = vector.get();
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        let messages = addresses.iter().zip(&vectors).map(message).collect();
        Self { buffers, addresses, _vectors: vectors, messages, received: 0 }
    }

    /// Takes what waits at `socket`, at most [`ReceiveBatch::CAPACITY`]; returns how many. 0: nothing waits.
    ///
    /// # Errors
    /// Any but "nothing waits": a pending error of the socket; the next call goes on.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // The kernel has put the true lengths in place of the capacities.
        for message in &mut self.messages[..self.received] {
            message.msg_hdr.msg_namelen = RawAddress::CAPACITY;
        }
        self.received = 0;
        let slots = libc::c_uint::try_from(SLOTS).unwrap_or(1);
        // SAFETY: every message points to its own address, vector and buffer with their true sizes (see the type); the
        // kernel writes there only during the call, and `&mut self` keeps everybody else away meanwhile.
        let result = checked(unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.messages.as_mut_ptr(),
                slots,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        });
        match result {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            result => self.received = usize::try_from(result?).unwrap_or(0),
        }
        Ok(self.received)
    }

    /// The datagrams of the last call: source and bytes, `None` in place of bytes when it was too large for us.
    pub fn datagrams(&self) -> impl Iterator<Item = (SocketAddr, Option<&[u8]>)> {
        let slots = self.messages[..self.received].iter().zip(&self.addresses).zip(&self.buffers);
        slots.filter_map(|((message, address), buffer)| {
            // SAFETY: the kernel writes only during `receive`, which needs `&mut self`; until then these are plain
            // initialised bytes that nobody changes.
            let (address, buffer) = unsafe { (&*address.get(), &*buffer.get()) };
            let is_whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let bytes = usize::try_from(message.msg_len).unwrap_or(SLOT_BYTES).min(SLOT_BYTES);
            Some((address.decode()?, is_whole.then_some(&buffer[..bytes])))
        })
    }
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        Self::new()
    }
}
