//! `sendmmsg` of GSO runs.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::address::RawAddress;
use super::checked;
use crate::batch::Run;
use crate::udp::Datagrams;

/// Messages per call.
const MESSAGES: usize = 64;

/// Room for one control message with a 16-bit segment size, aligned as `cmsghdr` must be.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct SegmentControl([u8; 24]);

/// Bytes of the control message; 24 on 64-bit, less on 32-bit.
// SAFETY: pure arithmetic on its argument.
const CONTROL_SPACE: u32 = unsafe { libc::CMSG_SPACE(2) };
const _: () = assert!(CONTROL_SPACE as usize <= size_of::<SegmentControl>());

/// Structures for one call, used again and again.
pub(crate) struct SendBatch {
    vectors: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
    addresses: [RawAddress; MESSAGES],
    controls: [SegmentControl; MESSAGES],
}

// SAFETY: the vectors hold raw pointers only during `send`, which clears them before it returns.
unsafe impl Send for SendBatch {}

impl std::fmt::Debug for SendBatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SendBatch").finish_non_exhaustive()
    }
}

impl SendBatch {
    pub(crate) fn new() -> Self {
        Self {
            vectors: Vec::new(),
            messages: Vec::with_capacity(MESSAGES),
            addresses: [RawAddress::empty(); MESSAGES],
            controls: [SegmentControl([0; 24]); MESSAGES],
        }
    }

    /// Sends the first runs, at most 64, of `datagrams` (destination and bytes); returns how many
    /// runs the kernel took: all or those before the first that failed. Each run must be one of
    /// [`plan_runs`](crate::batch::plan_runs) over the same datagrams.
    ///
    /// # Errors
    /// The error of the first run, when that one failed.
    pub(crate) fn send<D: Datagrams + ?Sized>(
        &mut self,
        socket: BorrowedFd<'_>,
        datagrams: &D,
        runs: &[Run],
    ) -> io::Result<usize> {
        let runs = &runs[..runs.len().min(MESSAGES)];
        self.vectors.clear();
        let mut vector_counts = [0; MESSAGES];
        for (run, vector_count) in runs.iter().zip(&mut vector_counts) {
            let before = self.vectors.len();
            for index in run.first..run.first + run.count {
                let (_, bytes) = datagrams.datagram(index);
                let (base, length) = (bytes.as_ptr(), bytes.len());
                // Datagrams that lie one behind the other are one piece for the kernel.
                match self.vectors[before..].last_mut() {
                    Some(last)
                        if std::ptr::eq(last.iov_base.cast::<u8>().wrapping_add(last.iov_len), base) =>
                    {
                        last.iov_len += length;
                    }
                    _ => self.vectors.push(libc::iovec { iov_base: base.cast_mut().cast(), iov_len: length }),
                }
            }
            *vector_count = self.vectors.len() - before;
        }
        self.messages.clear();
        let vectors = self.vectors.as_mut_ptr();
        let mut used = 0;
        for (slot, run) in runs.iter().enumerate() {
            let (address, address_length) = RawAddress::encode(datagrams.datagram(run.first).0);
            self.addresses[slot] = address;
            // SAFETY: all zero is a valid mmsghdr: null pointers and lengths of zero.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_name = (&raw mut self.addresses[slot]).cast();
            message.msg_hdr.msg_namelen = address_length;
            // SAFETY: the runs before this one used `used` vectors of those pushed above, and this one has its own.
            message.msg_hdr.msg_iov = unsafe { vectors.add(used) };
            message.msg_hdr.msg_iovlen = vector_counts[slot];
            used += vector_counts[slot];
            if run.count > 1 {
                attach_segment_size(&mut message.msg_hdr, &mut self.controls[slot], run.segment_bytes);
            }
            self.messages.push(message);
        }
        let count = libc::c_uint::try_from(self.messages.len()).unwrap_or(0);
        // SAFETY: every message points to its own address, vectors and control bytes with their true sizes. They and
        // the borrowed datagrams outlive the call, which only reads the datagrams (iovec has no const form).
        let result = checked(unsafe {
            libc::sendmmsg(socket.as_raw_fd(), self.messages.as_mut_ptr(), count, libc::MSG_DONTWAIT)
        });
        self.messages.clear();
        self.vectors.clear();
        Ok(usize::try_from(result?).unwrap_or(0))
    }
}

/// Attaches `UDP_SEGMENT` (Linux `udp(7)`) to a message.
fn attach_segment_size(header: &mut libc::msghdr, control: &mut SegmentControl, segment_bytes: usize) {
    let segment = u16::try_from(segment_bytes).unwrap_or(u16::MAX);
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = CONTROL_SPACE as usize;
    // SAFETY: `msg_control` points to CONTROL_SPACE writable bytes, aligned for cmsghdr, so that the first header is
    // not null and has room for itself and the two bytes of the segment size.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_UDP;
        (*first).cmsg_type = libc::UDP_SEGMENT;
        (*first).cmsg_len = libc::CMSG_LEN(2) as usize;
        libc::CMSG_DATA(first).cast::<u16>().write_unaligned(segment);
    }
}
