//! A TUN device: a network interface whose packets a program reads and writes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use super::checked;

/// One TUN device, gone when this is dropped. Whole IP packets (IPv4 or IPv6, no header before them, checksums
/// complete, no larger than the interface's MTU) pass in both directions.
///
/// The interface appears in the network namespace of the thread that opens it, down and without address; it may be moved
/// to another namespace and keeps working. When that namespace ends the device goes with it.
#[derive(Debug)]
pub struct Tun {
    file: File,
}

const DEVICE: &str = "/dev/net/tun";

/// IP packets, and nothing before them.
#[expect(clippy::cast_possible_truncation, reason = "0x1001")]
const FLAGS: libc::c_short = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;

impl Tun {
    /// Makes the interface `name` (1 to 15 bytes), or takes over one of that name that nobody has open.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no interface can have; `PermissionDenied` without `CAP_NET_ADMIN`; `NotFound` where
    /// the kernel has no TUN; `ResourceBusy` when somebody has it open.
    pub fn open(name: &str) -> io::Result<Self> {
        let mut request = libc::ifreq {
            ifr_name: interface_name(name)?,
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: FLAGS },
        };
        let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(DEVICE)?;
        // SAFETY: the descriptor is open; TUNSETIFF reads and writes one ifreq, which `request` is, and keeps no pointer.
        checked(unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
        Ok(Self { file })
    }

    /// Takes the next packet that the namespace sends through the interface: its length in `buffer`, `None` when there
    /// is none. What does not fit is cut off: 65,535 bytes are enough for any.
    ///
    /// # Errors
    /// The device is gone, as a rule.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.file).read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            result => result.map(Some),
        }
    }

    /// Lets a packet arrive in the namespace.
    ///
    /// # Errors
    /// The kernel does not take it: the interface is down, or these bytes are no IP packet.
    pub fn send(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write(packet).map(|_| ())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn interface_name(name: &str) -> io::Result<[libc::c_char; libc::IFNAMSIZ]> {
    let is_possible = !name.is_empty()
        && name.len() < libc::IFNAMSIZ
        && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:%".contains(&byte));
    if !is_possible {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a name of an interface"));
    }
    let mut raw = [0; libc::IFNAMSIZ];
    for (to, from) in raw.iter_mut().zip(name.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_names_are_refused_before_the_kernel_is_asked() {
        // A "%d" would let the kernel choose a number.
        for name in ["", "sixteen-bytes-xx", "a/b", "a b", "tun%d", "ü"] {
            assert_eq!(Tun::open(name).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        let name = interface_name("tun0").unwrap();
        assert_eq!(name.map(libc::c_char::cast_unsigned)[..5], *b"tun0\0");
    }
}
