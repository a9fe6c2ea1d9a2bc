//! Socket options.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// Asks for `SO_RCVBUF` and `SO_SNDBUF` of `bytes`: beyond the system's limit where we may (`CAP_NET_ADMIN`), else as
/// much as it gives.
pub(crate) fn set_buffer_bytes(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    for (force, plain) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
        set_option(socket, force, bytes).or_else(|_| set_option(socket, plain, bytes))?;
    }
    Ok(())
}

fn set_option(socket: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: the descriptor is open, `value` outlives the call and `length` is its size.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, (&raw const value).cast(), length)
    };
    checked(result).map(|_| ())
}
