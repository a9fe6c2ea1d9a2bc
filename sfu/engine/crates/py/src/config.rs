//! `EngineConfig`: Python's settings checked and turned into the io crate's.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use plenum_core::uptrack::PliThrottle;
use plenum_core::{DataLimits, RateFeedback};
use pyo3::prelude::*;

use crate::error::BindingError;

/// Longest interval. Of longer ones nobody has any use, and the longest of all would end after the end of time.
const LONGEST_MS: u64 = 60_000;
/// Below that, an association would never say that it has room again (its threshold is 64 kB per channel).
const LEAST_SCTP_BUFFER_BYTES: usize = 256 * 1024;

/// Settings of all shards, fixed for the engine's life.
#[pyclass(frozen, module = "sfu._engine")]
pub(crate) struct EngineConfig(pub(crate) plenum_io::EngineConfig);

#[pymethods]
impl EngineConfig {
    #[new]
    #[pyo3(
        signature = (
        *, udp, tcp = Vec::new(), advertised = Vec::new(), advertise_internal = false, ice_lite = true,
        gather_ms = 3.0, socket_buffer_bytes = 8 * 1024 * 1024, video_cache_packets = 500,
        audio_cache_packets = 200, sctp_buffer_bytes = 2 * 1024 * 1024, data_track_latency_ms = 100, rate_feedback = "receiver", audio_active_level = 35, audio_update_interval_ms = 400,
        quality_interval_ms = 5000, pli_throttle_ms = (500, 1000, 1000), data_messages_per_s = 1000, data_bytes_per_s = 5_000_000,
        adds_redundancy = false, reports_subscribers_loss = true, seed = None
        ),
        text_signature = "(*, udp, tcp=(), advertised=(), advertise_internal=False, ice_lite=True, gather_ms=3.0, \
            socket_buffer_bytes=8388608, video_cache_packets=500, audio_cache_packets=200, sctp_buffer_bytes=2097152, data_track_latency_ms=100, \
            rate_feedback='receiver', audio_active_level=35, audio_update_interval_ms=400, quality_interval_ms=5000, pli_throttle_ms=(500, 1000, 1000), \
            data_messages_per_s=1000, data_bytes_per_s=5000000, \
            adds_redundancy=False, reports_subscribers_loss=True, seed=None)"
    )]
    #[expect(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // keyword arguments of Python
    fn new(
        udp: Vec<String>,
        tcp: Vec<String>,
        advertised: Vec<(String, String)>,
        advertise_internal: bool,
        ice_lite: bool,
        gather_ms: f64,
        socket_buffer_bytes: usize,
        video_cache_packets: usize,
        audio_cache_packets: usize,
        sctp_buffer_bytes: usize,
        data_track_latency_ms: u64,
        rate_feedback: &str,
        audio_active_level: u8,
        audio_update_interval_ms: u64,
        quality_interval_ms: u64,
        pli_throttle_ms: (u64, u64, u64),
        data_messages_per_s: u64,
        data_bytes_per_s: u64,
        adds_redundancy: bool,
        reports_subscribers_loss: bool,
        seed: Option<u64>,
    ) -> Result<Self, BindingError> {
        let require = |holds: bool, name, expected| {
            if holds { Ok(()) } else { Err(BindingError::OutOfRange { name, expected }) }
        };
        require(audio_active_level <= 127, "audio_active_level", "0 to 127 (-dBov)")?;
        let is_interval = (1..=LONGEST_MS).contains(&audio_update_interval_ms);
        require(is_interval, "audio_update_interval_ms", "1 to 60000")?;
        let is_interval = (1..=LONGEST_MS).contains(&quality_interval_ms);
        require(is_interval, "quality_interval_ms", "1 to 60000")?;
        require(data_track_latency_ms <= LONGEST_MS, "data_track_latency_ms", "0 to 60000")?;
        let (low, mid, high) = pli_throttle_ms;
        let are_intervals = [low, mid, high].iter().all(|interval| *interval <= LONGEST_MS);
        require(are_intervals, "pli_throttle_ms", "three times 0 to 60000")?;
        let has_room = sctp_buffer_bytes >= LEAST_SCTP_BUFFER_BYTES;
        require(has_room, "sctp_buffer_bytes", "at least 262144")?;
        Ok(Self(plenum_io::EngineConfig {
            udp: socket_addresses(udp)?,
            tcp: socket_addresses(tcp)?,
            advertised: advertised.into_iter().map(address_pair).collect::<Result<_, _>>()?,
            advertise_internal,
            ice_lite,
            gather: gather(gather_ms)?,
            socket_buffer_bytes,
            video_cache_packets,
            audio_cache_packets,
            sctp_buffer_bytes,
            rate_feedback: parse_rate_feedback(rate_feedback)?,
            data_track_latency: Duration::from_millis(data_track_latency_ms),
            audio_active_level,
            audio_update_interval: Duration::from_millis(audio_update_interval_ms),
            quality_interval: Duration::from_millis(quality_interval_ms),
            pli_throttle: PliThrottle {
                low: Duration::from_millis(low),
                mid: Duration::from_millis(mid),
                high: Duration::from_millis(high),
            },
            data_limits: DataLimits {
                messages_per_s: limit(data_messages_per_s, "data_messages_per_s")?,
                bytes_per_s: limit(data_bytes_per_s, "data_bytes_per_s")?,
            },
            adds_redundancy,
            reports_subscribers_loss,
            seed,
            ..plenum_io::EngineConfig::default()
        }))
    }
}

fn parse_rate_feedback(name: &str) -> Result<RateFeedback, BindingError> {
    match name {
        "off" => Ok(RateFeedback::Off),
        "receiver" => Ok(RateFeedback::Receiver),
        "transport" => Ok(RateFeedback::TransportWide),
        _ => Err(BindingError::OutOfRange {
            name: "rate_feedback",
            expected: "'off', 'receiver' or 'transport'",
        }),
    }
}

/// `None` for 0.
fn limit(per_s: u64, name: &'static str) -> Result<Option<u32>, BindingError> {
    let out_of_range = BindingError::OutOfRange { name, expected: "0 to 4294967295" };
    let limit = u32::try_from(per_s).map_err(|_| out_of_range)?;
    Ok((limit > 0).then_some(limit))
}

fn gather(gather_ms: f64) -> Result<Duration, BindingError> {
    const OUT_OF_RANGE: BindingError = BindingError::OutOfRange { name: "gather_ms", expected: "0 to 100" };
    if !(0.0..=100.0).contains(&gather_ms) {
        return Err(OUT_OF_RANGE);
    }
    Duration::try_from_secs_f64(gather_ms / 1000.0).map_err(|_| OUT_OF_RANGE)
}

fn socket_addresses(texts: Vec<String>) -> Result<Vec<SocketAddr>, BindingError> {
    let parse = |given: String| match given.parse() {
        Ok(address) => Ok(address),
        Err(cause) => Err(BindingError::SocketAddress { given, cause }),
    };
    texts.into_iter().map(parse).collect()
}

fn address_pair((local, public): (String, String)) -> Result<(IpAddr, IpAddr), BindingError> {
    let parse = |given: String| match given.parse() {
        Ok(address) => Ok(address),
        Err(cause) => Err(BindingError::IpAddress { given, cause }),
    };
    Ok((parse(local)?, parse(public)?))
}
