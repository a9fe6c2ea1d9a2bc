//! Safe faces of the system calls that `std` does not have. The only place with `unsafe`; decides nothing.

mod address;
mod clock;
mod poller;
mod receive;
mod send;
mod socket;
mod tun;
mod wake;

pub use clock::thread_cpu;
pub use poller::{Interest, Poller, Readiness};
pub use receive::ReceiveBatch;
pub(crate) use send::SendBatch;
pub(crate) use socket::set_buffer_bytes;
pub use tun::Tun;
pub use wake::WakeFd;

/// Turns the kernel's −1 into the thread's last error.
fn checked(result: libc::c_int) -> std::io::Result<libc::c_int> {
    if result < 0 { Err(std::io::Error::last_os_error()) } else { Ok(result) }
}
