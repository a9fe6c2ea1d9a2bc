//! `plenum-netem`: an emulated link between two network namespaces, from a seed.
//!
//! ```text
//!   namespace "client"                   this process                    namespace "server"
//!   10.99.0.1  near ──── TUN ──── Link "up"   ──────────────── TUN ──── far  10.99.0.2
//!                        └─────── Link "down" ◄──────────────────┘
//! ```
//! The devices are made in the namespace in which the router is started, and moved by whoever started it: a TUN device
//! keeps working in another namespace. The link is a wire, no router in the sense of IP: the addresses at its ends belong to one
//! network, no packet's time to live is lowered, all IP packets of both versions pass. By hand, as root:
//!
//! ```text
//! ip netns add client; ip netns add server
//! (sleep 600 & cat) | plenum-netem --near near0 --far far0 --both '{"delay_ms": 50}' --down '{"rate_bps": 1000000}' &
//! ip link set near0 netns client; ip -n client addr add 10.99.0.1/24 dev near0; ip -n client link set near0 up
//! ip link set far0  netns server; ip -n server addr add 10.99.0.2/24 dev far0;  ip -n server link set far0 up
//! ip netns exec client ping 10.99.0.2
//! ```
//! Started from a terminal it takes steps such as `{"both": {"blackout_ms": 5000}}` as they are typed, and ends with Ctrl-D.
//!
//! Times are exact to the wake-up of this process, as a rule below 0.2 ms; `late` in the counters tells how far it was from
//! that. Where other programs take all CPUs, give it priority: `chrt -f 1 plenum-netem …`. Packets that wait for it are
//! in the device's own queue (500; `ip link set near0 txqueuelen 2000`).

mod args;
mod control;
mod error;
mod report;
mod router;
mod settings;

use std::io::Write;
use std::process::ExitCode;

use args::Arguments;
use error::RouterError;
use router::Router;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "plenum-netem: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), RouterError> {
    let mut output = std::io::stdout().lock();
    match Arguments::from_environment()? {
        Some(arguments) => Router::open(&arguments, output)?.run(),
        None => Ok(writeln!(output, "{}", Arguments::HELP)?),
    }
}
