//! Level-triggered `epoll` with a nanosecond time-out.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::checked;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    /// Data or a connection to take.
    pub read: bool,
    /// Room in the send buffer.
    pub write: bool,
}

impl Interest {
    /// Reading alone.
    pub const READ: Self = Self { read: true, write: false };

    fn events(self) -> u32 {
        let read = if self.read { libc::EPOLLIN | libc::EPOLLRDHUP } else { 0 };
        let write = if self.write { libc::EPOLLOUT } else { 0 };
        (read | write).cast_unsigned()
    }
}

/// One descriptor that can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// As given to [`Poller::add`].
    pub token: u64,
    /// Reading gives something: data, a connection, the end or an error.
    pub readable: bool,
    /// Writing takes something.
    pub writable: bool,
}

/// Waits for many descriptors at once.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    /// `epoll_pwait2` is missing (Linux < 5.11) or forbidden (seccomp): milliseconds must do.
    coarse: bool,
}

const EVENTS_PER_WAIT: usize = 128;

/// Reading tells what has happened to the descriptor.
const GONE: u32 = (libc::EPOLLERR | libc::EPOLLHUP | libc::EPOLLRDHUP).cast_unsigned();

impl Poller {
    /// Makes one that waits for nothing yet.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain system call without pointers.
        let fd = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self {
            epoll,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_PER_WAIT],
            coarse: false,
        })
    }

    /// Waits for `source` too; `token` names it in [`Readiness`].
    pub fn add(&self, source: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, source, token, interest)
    }

    /// Changes what is waited for.
    pub fn modify(&self, source: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, source, token, interest)
    }

    fn control(
        &self,
        operation: libc::c_int,
        source: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.events(), u64: token };
        // SAFETY: both descriptors are open, `event` is valid for the call, which copies it.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, source.as_raw_fd(), &raw mut event) };
        checked(result).map(|_| ())
    }

    /// Sleeps until something is ready or `timeout` has passed (`None`: for ever); refills `ready`. A signal ends the
    /// sleep early with nothing ready.
    pub fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Readiness>) -> io::Result<()> {
        ready.clear();
        let count = match self.wait_once(timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            result => result?,
        };
        ready.extend(self.events[..count].iter().map(|event| {
            let events = event.events;
            Readiness {
                token: event.u64,
                readable: events & (libc::EPOLLIN.cast_unsigned() | GONE) != 0,
                writable: events & libc::EPOLLOUT.cast_unsigned() != 0,
            }
        }));
        Ok(())
    }

    fn wait_once(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        if !self.coarse {
            match self.wait_fine(timeout) {
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                    self.coarse = true;
                }
                result => return result,
            }
        }
        self.wait_coarse(timeout)
    }

    fn wait_fine(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let limit = timeout.map(|timeout| libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(timeout.subsec_nanos().cast_signed()),
        });
        let limit_pointer = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: `events` has room for `len` entries, the time-out is null or points to `limit`, which outlives the
        // call, and a null signal mask means to leave it alone.
        let count = checked(unsafe {
            libc::epoll_pwait2(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                libc::c_int::try_from(self.events.len()).unwrap_or(1),
                limit_pointer,
                std::ptr::null(),
            )
        })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    fn wait_coarse(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        // Rounded up: a time-out that ends early would make the caller spin.
        let limit_ms = timeout.map_or(-1, |timeout| {
            libc::c_int::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: `events` has room for `len` entries.
        let count = checked(unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                libc::c_int::try_from(self.events.len()).unwrap_or(1),
                limit_ms,
            )
        })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::WakeFd;

    fn tokens(poller: &mut Poller, timeout: Option<Duration>) -> Vec<u64> {
        let mut ready = Vec::new();
        poller.wait(timeout, &mut ready).unwrap();
        ready.iter().filter(|readiness| readiness.readable).map(|readiness| readiness.token).collect()
    }

    #[test]
    fn a_signalled_descriptor_is_ready_until_cleared() {
        for coarse in [false, true] {
            let wake = WakeFd::new().unwrap();
            let mut poller = Poller::new().unwrap();
            poller.coarse = coarse;
            poller.add(wake.as_fd(), 7, Interest::READ).unwrap();
            assert_eq!(tokens(&mut poller, Some(Duration::ZERO)), []);
            wake.signal();
            wake.signal();
            assert_eq!(tokens(&mut poller, None), [7]);
            wake.clear();
            assert_eq!(tokens(&mut poller, Some(Duration::from_micros(10))), []);
        }
    }
}
