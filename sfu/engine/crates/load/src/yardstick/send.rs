//! Yardstick **U**: packets per CPU-second of a bare `sendto` loop.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plenum_io::net::{ReceiveBatch, UdpPort, thread_cpu};

use crate::error::LoadError;

/// Size of a datagram: a full video packet.
const DATAGRAM_BYTES: usize = 1150;
const BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Result of [`measure_send`].
#[derive(Debug, Clone, Copy)]
pub struct SendCost {
    /// Datagrams sent.
    pub packets: u64,
    /// CPU time of the sending thread.
    pub cpu: Duration,
}

/// Sends `packets` datagrams one by one over loopback; another thread takes them.
pub fn measure_send(packets: u64) -> Result<SendCost, LoadError> {
    let receiver = UdpPort::bind(SocketAddr::from(([127, 0, 0, 1], 0)), BUFFER_BYTES)?;
    let destination = receiver.address();
    let done = Arc::new(AtomicBool::new(false));
    let theirs = Arc::clone(&done);
    let drain = std::thread::spawn(move || {
        let mut batch = ReceiveBatch::new();
        while !theirs.load(Ordering::Acquire) {
            if receiver.receive(&mut batch).unwrap_or(0) == 0 {
                std::thread::yield_now();
            }
        }
    });
    let sender = UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let datagram = [7; DATAGRAM_BYTES];
    let start = thread_cpu();
    for _ in 0..packets {
        sender.send_to(&datagram, destination)?;
    }
    let cpu = thread_cpu().saturating_sub(start);
    done.store(true, Ordering::Release);
    drain.join().map_err(|_| LoadError::Thread)?;
    Ok(SendCost { packets, cpu })
}
