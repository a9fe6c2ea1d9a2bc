//! Yardstick **C**: CPU of one in-process connect of two associations (ICE, DTLS, SRTP keys), building included.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use plenum_io::net::thread_cpu;
use str0m::change::SdpAnswer;
use str0m::net::{Receive, Transmit};
use str0m::{Candidate, Input, Output, Rtc, RtcError};

use crate::error::LoadError;

/// Result of [`measure_connect`].
#[derive(Debug, Clone, Copy)]
pub struct ConnectCost {
    /// Connections made.
    pub connections: u32,
    /// CPU time of both ends of all of them.
    pub cpu: Duration,
}

/// Steps of virtual time before a connection counts as failed.
const MOST_STEPS: u32 = 2000;
const STEP: Duration = Duration::from_millis(10);

/// Connects `connections` pairs in memory and in virtual time, one after another.
pub fn measure_connect(connections: u32) -> Result<ConnectCost, LoadError> {
    let start = thread_cpu();
    for _ in 0..connections {
        connect_pair()?;
    }
    Ok(ConnectCost { connections, cpu: thread_cpu().saturating_sub(start) })
}

fn connect_pair() -> Result<(), LoadError> {
    let mut now = Instant::now();
    let mut client = end(now, [127, 0, 0, 1], 1000);
    let mut server = end(now, [127, 0, 0, 2], 2000);
    negotiate(&mut client, &mut server)?;
    for _ in 0..MOST_STEPS {
        if client.is_connected() && server.is_connected() {
            return Ok(());
        }
        deliver(&mut client, &mut server, now)?;
        deliver(&mut server, &mut client, now)?;
        now += STEP;
    }
    Err(LoadError::Deadline { seconds: 20, reached: 0, wanted: 1, state: "connected" })
}

fn end(now: Instant, ip: [u8; 4], port: u16) -> Rtc {
    let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
    if let Ok(candidate) = Candidate::host(SocketAddr::from((ip, port)), "udp") {
        rtc.add_local_candidate(candidate);
    }
    rtc
}

/// Exchanges offer and answer as values: text is not what is measured.
fn negotiate(client: &mut Rtc, server: &mut Rtc) -> Result<(), LoadError> {
    let mut changes = client.sdp_api();
    changes.add_channel("yardstick".to_owned());
    let Some((offer, pending)) = changes.apply() else { return Ok(()) };
    let answer: SdpAnswer = server.sdp_api().accept_offer(offer)?;
    Ok(client.sdp_api().accept_answer(pending, answer)?)
}

/// Lets `from` run at `now` and hands what it sends to `to`.
fn deliver(from: &mut Rtc, to: &mut Rtc, now: Instant) -> Result<(), RtcError> {
    from.handle_input(Input::Timeout(now))?;
    let mut sent: Vec<Transmit> = Vec::new();
    loop {
        match from.poll_output()? {
            Output::Timeout(_) => break,
            Output::Transmit(transmit) => sent.push(transmit),
            Output::Event(_) => {}
        }
    }
    for transmit in sent {
        if let Ok(receive) =
            Receive::new(transmit.proto, transmit.source, transmit.destination, &transmit.contents)
        {
            to.handle_input(Input::Receive(now, receive))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_connect() {
        assert_eq!(measure_connect(2).unwrap().connections, 2);
    }
}
