//! Builds an association: codecs, header extensions, candidates, caches. Costs about a millisecond, so it runs on the
//! caller's thread, before the transport belongs to a shard.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::net::TcpType;
use str0m::rtp::{Extension, ExtensionMap};
use str0m::{Candidate, Rtc, RtcConfig};

use super::dtls::{Certificate, crypto_provider, take_keying_slot};
use super::extension::{DEPENDENCY_DESCRIPTOR_URI, DependencyDescriptorSerializer};
use super::sending::{KeyingSlot, PlayoutLimits};
use crate::command::TransportRole;
use crate::data::MAX_MESSAGE_BYTES;
use crate::ids::TransportId;
use crate::rate::RateFeedback;
use crate::rtp::Codec;
use crate::sdp::CodecPolicy;

/// Receiver reports to publishers of video.
const VIDEO_REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Statistics of a transport (round-trip times) are gathered that often.
const STATS_INTERVAL: Duration = Duration::from_secs(5);

/// One address of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCandidate {
    /// Bound address; the association knows the candidate by it.
    pub local: SocketAddr,
    /// Addresses to announce for it (1:1 NAT), in place of the bound one; empty: the bound one.
    pub advertised: Vec<SocketAddr>,
    /// Passive TCP in place of UDP.
    pub tcp: bool,
}

/// What every transport of a server shares.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// Our addresses.
    pub candidates: Vec<LocalCandidate>,
    /// Answer connectivity checks only.
    pub ice_lite: bool,
    /// Packets kept for retransmission per sending video stream.
    pub video_cache_packets: usize,
    /// The same per sending audio stream, where the subscriber gets no redundancy.
    pub audio_cache_packets: usize,
    /// Limits of the delay at which subscribers are asked to play video; `None`: they are not asked.
    pub playout: Option<PlayoutLimits>,
    /// Unacknowledged data per transport before its data queue grows.
    pub sctp_buffer_bytes: usize,
    /// By what the rate towards the peer is estimated.
    pub rate_feedback: RateFeedback,
    /// About how long a data track's packet may wait for a subscriber; zero: for as long as it takes.
    pub data_track_latency: Duration,
    /// Codecs of the room.
    pub codecs: CodecPolicy,
    /// The process's certificate.
    pub certificate: Certificate,
}

/// A transport that is built but belongs to no shard yet.
#[derive(Debug)]
pub struct TransportSeed {
    /// Its id.
    pub id: TransportId,
    /// Its role.
    pub role: TransportRole,
    pub(super) rtc: Box<Rtc>,
    pub(super) options: TransportOptions,
    pub(super) keying: KeyingSlot,
}

impl TransportSeed {
    /// Builds the association. Candidates that no peer could reach (unspecified or link-local addresses) are left out.
    #[must_use]
    pub fn build(id: TransportId, role: TransportRole, options: &TransportOptions, now: Instant) -> Self {
        let mut rtc = Box::new(configuration(options).build(now));
        let keying = take_keying_slot();
        for candidate in options.candidates.iter().filter_map(ice_candidate) {
            rtc.add_local_candidate(candidate);
        }
        Self { id, role, rtc, options: options.clone(), keying }
    }
}

fn configuration(options: &TransportOptions) -> RtcConfig {
    let allowed =
        |codec: Codec| options.codecs.allows(codec) || options.codecs.idle_codec(codec.kind()) == Some(codec);
    // RED is decided here for the whole association; a line without it loses it in its answer's text only.
    let red = allowed(Codec::Red);
    let mut config = Rtc::builder()
        .set_rtp_mode(true)
        .set_ice_lite(options.ice_lite)
        .set_crypto_provider(crypto_provider())
        .set_dtls_cert(options.certificate.to_str0m())
        .set_rtcp_report_interval_video(VIDEO_REPORT_INTERVAL)
        .set_stats_interval(Some(STATS_INTERVAL))
        .set_sctp_max_buffered_amount(options.sctp_buffer_bytes)
        .set_sctp_max_message_size(u32::try_from(MAX_MESSAGE_BYTES).unwrap_or(u32::MAX))
        .clear_codecs()
        .enable_opus(allowed(Codec::Opus), red)
        .enable_pcmu(allowed(Codec::Pcmu), false)
        .enable_pcma(allowed(Codec::Pcma), false)
        .enable_vp8(allowed(Codec::Vp8))
        .enable_h264(allowed(Codec::H264))
        .enable_vp9(allowed(Codec::Vp9))
        .enable_av1(allowed(Codec::Av1))
        .enable_h265(allowed(Codec::H265));
    // Subscribers may ask for audio again, too: not all of it has redundancy. Descriptions are to say so.
    for params in config.codec_config().iter_mut().filter(|params| params.spec().codec.is_audio()) {
        params.set_fb_nack(true);
    }
    config.set_extension_map(known_extensions())
}

/// Header extensions that can ever be used: what is in the map at the first negotiation. Ids follow the client's.
pub(super) fn known_extensions() -> ExtensionMap {
    let mut extensions = ExtensionMap::standard();
    extensions.set(5, Extension::PlayoutDelay);
    extensions.set(6, Extension::AbsoluteCaptureTime);
    extensions.set(12, Extension::with_serializer(DEPENDENCY_DESCRIPTOR_URI, DependencyDescriptorSerializer));
    extensions
}

fn ice_candidate(candidate: &LocalCandidate) -> Option<Candidate> {
    let built = if candidate.tcp {
        Candidate::builder().tcp().host(candidate.local).tcptype(TcpType::Passive).build()
    } else {
        Candidate::host(candidate.local, "udp")
    };
    built.ok()
}
