//! All shards of a process: binds, starts, routes commands, collects events, stops.

use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use plenum_core::sdp::{CodecPolicy, announce_candidate};
use plenum_core::{
    Certificate, Command, Event, LocalCandidate, Shard, ShardConfig, TimeOfDay, TransportOptions,
};

use str0m::Candidate;
use str0m::net::TcpType;

use crate::config::EngineConfig;
use crate::counters::sum_named;
use crate::driver::{Driver, DriverConfig};
use crate::error::{EngineError, SubmitError};
use crate::event_ring::EventRing;
use crate::link::ShardLink;
use crate::log;
use crate::udp::UdpPort;

/// All shards of this process; dropping it stops them.
#[derive(Debug)]
pub struct Engine {
    shards: Vec<ShardLink>,
    ring: Arc<EventRing>,
    options: TransportOptions,
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
}

impl Engine {
    /// Binds the sockets and starts the threads.
    pub fn start(config: &EngineConfig) -> Result<Self, EngineError> {
        if config.udp.is_empty() && config.tcp.is_empty() {
            return Err(EngineError::NoAddress);
        }
        if let Some(&address) =
            config.udp.iter().chain(&config.tcp).find(|address| address.ip().is_unspecified())
        {
            return Err(EngineError::Wildcard { address });
        }
        let ports =
            bind_all(&config.udp, "UDP", |address| UdpPort::bind(address, config.socket_buffer_bytes))?;
        let listeners = bind_all(&config.tcp, "TCP", |address| {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        })?;
        let udp: Vec<SocketAddr> = ports.iter().map(UdpPort::address).collect();
        let tcp = listeners.iter().map(TcpListener::local_addr).collect::<Result<Vec<SocketAddr>, _>>()?;
        let options = transport_options(config, &udp, &tcp)?;
        let ring = Arc::new(EventRing::new(config.event_high_water)?);
        let shard = start_shard(0, config, ports, listeners, Arc::clone(&ring))?;
        Ok(Self { shards: vec![shard], ring, options, udp, tcp })
    }

    /// Queues a command for its shard; never waits.
    pub fn submit(&self, command: Command) -> Result<(), SubmitError> {
        let shard = self.shards.get(self.place(&command)).ok_or(SubmitError::Stopped)?;
        shard.submit(command)
    }

    /// The shard that carries out a command. The one place to change when there are several: a room's home shard then,
    /// and for its later subscribers the least busy one.
    #[expect(clippy::unused_self)]
    fn place(&self, _command: &Command) -> usize {
        0
    }

    /// What every transport shares; the caller builds a `TransportSeed` with it on its own thread.
    #[must_use]
    pub fn transport_options(&self) -> &TransportOptions {
        &self.options
    }

    /// Readable while events wait.
    #[must_use]
    pub fn event_descriptor(&self) -> RawFd {
        self.ring.as_fd().as_raw_fd()
    }

    /// Takes at most `limit` waiting events.
    #[must_use]
    pub fn drain(&self, limit: usize) -> Vec<Event> {
        let was_full = self.ring.is_full();
        let events = self.ring.drain(limit);
        if was_full {
            // They have held back commands.
            self.shards.iter().for_each(ShardLink::wake);
        }
        events
    }

    /// Totals of all shards by name, at most a tenth of a second old.
    #[must_use]
    pub fn counters(&self) -> Vec<(String, u64)> {
        let mut counters = sum_named(self.shards.iter().map(ShardLink::counters));
        counters.push(("events_lost".to_owned(), self.ring.lost()));
        counters
    }

    /// Bound UDP addresses in the order of the configuration.
    #[must_use]
    pub fn udp_addresses(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Bound TCP addresses in the order of the configuration.
    #[must_use]
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// `candidate:…` attribute values of every transport, UDP first.
    #[must_use]
    pub fn candidates(&self) -> Vec<String> {
        let all = &self.options.candidates;
        all.iter().filter_map(host_candidate).flat_map(|text| announce_candidate(&text, all)).collect()
    }

    /// Closes every transport (close alerts sent), ends the threads and joins them. Idempotent.
    pub fn stop(&self) {
        self.shards.iter().for_each(ShardLink::ask_to_stop);
        self.shards.iter().for_each(ShardLink::join);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Binds `addresses` in order; where the first has port 0, the others take the port that the kernel chose for it.
fn bind_all<S: HasAddress>(
    addresses: &[SocketAddr],
    protocol: &'static str,
    mut bind: impl FnMut(SocketAddr) -> std::io::Result<S>,
) -> Result<Vec<S>, EngineError> {
    let mut sockets: Vec<S> = Vec::with_capacity(addresses.len());
    for &wanted in addresses {
        let mut address = wanted;
        if address.port() == 0
            && let Some(first) = sockets.first()
        {
            address.set_port(first.bound_address()?.port());
        }
        sockets.push(bind(address).map_err(|cause| EngineError::Bind { protocol, address, cause })?);
    }
    Ok(sockets)
}

trait HasAddress {
    fn bound_address(&self) -> std::io::Result<SocketAddr>;
}

impl HasAddress for UdpPort {
    fn bound_address(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address())
    }
}

impl HasAddress for TcpListener {
    fn bound_address(&self) -> std::io::Result<SocketAddr> {
        self.local_addr()
    }
}

fn transport_options(
    config: &EngineConfig,
    udp: &[SocketAddr],
    tcp: &[SocketAddr],
) -> Result<TransportOptions, EngineError> {
    let candidate = |local: SocketAddr, tcp: bool| {
        let public = config.advertised.iter().filter(|(inside, _)| *inside == local.ip());
        let mut advertised: Vec<SocketAddr> = public.map(|&(_, ip)| with_ip(local, ip)).collect();
        if config.advertise_internal && !advertised.is_empty() {
            advertised.push(local);
        }
        LocalCandidate { local, advertised, tcp }
    };
    let candidates = udp
        .iter()
        .map(|&local| candidate(local, false))
        .chain(tcp.iter().map(|&local| candidate(local, true)));
    Ok(TransportOptions {
        candidates: candidates.collect(),
        ice_lite: config.ice_lite,
        video_cache_packets: config.video_cache_packets,
        audio_cache_packets: config.audio_cache_packets,
        playout: None,
        sctp_buffer_bytes: config.sctp_buffer_bytes,
        rate_feedback: config.rate_feedback,
        data_track_latency: config.data_track_latency,
        codecs: CodecPolicy::default(),
        certificate: Certificate::generate()?,
    })
}

/// Attribute value of one local address; `None` for one that can be no candidate (link-local).
fn host_candidate(candidate: &LocalCandidate) -> Option<String> {
    let built = if candidate.tcp {
        Candidate::builder().tcp().host(candidate.local).tcptype(TcpType::Passive).build()
    } else {
        Candidate::host(candidate.local, "udp")
    };
    built.ok().map(|candidate| candidate.to_sdp_string())
}

fn with_ip(address: SocketAddr, ip: IpAddr) -> SocketAddr {
    SocketAddr::new(ip, address.port())
}

fn start_shard(
    index: u16,
    config: &EngineConfig,
    ports: Vec<UdpPort>,
    listeners: Vec<TcpListener>,
    ring: Arc<EventRing>,
) -> Result<ShardLink, EngineError> {
    let shard_config = ShardConfig {
        index,
        gather: config.gather,
        audio_active_level: config.audio_active_level,
        audio_update_interval: config.audio_update_interval,
        quality_interval: config.quality_interval,
        pli_throttle: config.pli_throttle,
        time_of_day: TimeOfDay::new(Instant::now(), SystemTime::now()),
        data_limits: config.data_limits,
        adds_redundancy: config.adds_redundancy,
        reports_subscribers_loss: config.reports_subscribers_loss,
    };
    // Keys of the hasher come from the system's source of randomness.
    let mut seed = config.seed.unwrap_or_else(|| RandomState::new().hash_one(index));
    let tcp_limits = config.tcp_limits.clone();
    let link = ShardLink::start(index, config.command_queue, move |mailbox, commands| {
        let _attached = log::attach(index, Arc::clone(&ring));
        let make_core = Box::new(move |now: Instant| {
            seed = seed.wrapping_add(1);
            Shard::new(shard_config.clone(), seed, now)
        });
        let sockets = DriverConfig { index, ports, listeners, tcp_limits };
        let driver = Driver::new(sockets, make_core, mailbox, commands, ring);
        if let Err(error) = driver.and_then(Driver::run) {
            tracing::error!(shard = index, %error, "shard ended");
        }
    })?;
    Ok(link)
}

#[cfg(test)]
mod tests;
