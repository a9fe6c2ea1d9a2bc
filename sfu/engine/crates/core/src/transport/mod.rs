//! One ICE + DTLS + SRTP + SCTP association. The only place that knows str0m.
//!
//! A [`Transport`] negotiates, runs and writes; it never decides who gets what and never sees another transport. What
//! it has to say leaves as [`Signal`]s. str0m does all of that but one thing: forwarded media is `sending`'s. Calls into str0m run under `catch_unwind`, reads of its tables excepted: a panic
//! there costs this one transport. Where the caller cannot be told, the next run reports it ([`attempt`]).

mod answering;
mod build;
mod channels;
mod copies;
mod drive;
mod dtls;
mod extension;
mod format;
mod lines;
mod negotiation;
mod offering;
mod path_time;
mod precedence;
mod requirement;
mod sending;
mod sources;
mod track_channel;
mod transport_seq;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use str0m::media::{KeyframeRequestKind, Mid};
use str0m::net::Protocol;
use str0m::rtp::Ssrc;
use str0m::{Candidate, Rtc};

pub use build::{LocalCandidate, TransportOptions, TransportSeed};
pub(crate) use channels::{ChannelUse, Pace, ReceiverStuck};
pub(crate) use drive::{Outlet, Signal};
pub use dtls::{Certificate, CertificateError};
pub(crate) use extension::DescriptorBytes;
pub(crate) use format::{Format, Licence, SendFormat, Shape};
pub(crate) use lines::{DownIndex, Subscription};
pub(crate) use negotiation::{BoundLine, Negotiated, NegotiationError};
pub(crate) use offering::OwnOffer;
pub(crate) use sending::{OutgoingPacket, Patch, SendIndex, report_stamp};
pub use sending::{PlayoutLimits, TimeOfDay};

use crate::command::{DataKind, MediaKind, TransportRole};
use crate::drop_reason::DropReason;
use crate::event::TransportFailure;
use crate::ids::TransportId;
use crate::layers::StreamIndex;
use crate::rate::RateFeedback;
use crate::sdp::{CodecPolicy, PayloadTypes};
use crate::stats::Counters;
use crate::timer::Scheduled;
use crate::uptrack::WallClock;
use channels::Channels;
use copies::Copies;
use lines::{LineState, Lines};
use offering::Offering;
use requirement::Requirement;
use sending::Sending;
use sources::Sources;
use track_channel::TrackChannel;
use transport_seq::TransportSeq;

/// Candidates of the peer that are taken per ICE generation; a longer list would make us a hammer (RFC 8445 §19.5.1).
const MAX_REMOTE_CANDIDATES: usize = 32;
/// Streams of a publisher that are remembered per transport; more are looked up each time.
const MAX_RX_STREAMS: usize = 512;
/// How long an ICE restart may take before the transport counts as lost.
const RESTART_GRACE: Duration = Duration::from_secs(15);
/// How long nothing at all may come over a connected transport: a living client renews its consent every few seconds
/// (RFC 7675 §5.1). The association finds out by itself, but looks only every three seconds when it is idle. Where its
/// checks get lost, the same of what only the peer can have made.
const SILENCE: Duration = Duration::from_secs(15);

/// Index of an up track in its shard.
pub(crate) type UpIndex = usize;

/// Where the packets of one SSRC go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RxStream {
    pub(crate) up: UpIndex,
    pub(crate) stream: StreamIndex,
}

/// One association and what the shard keeps with it.
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states of one machine")]
pub(crate) struct Transport {
    pub(crate) id: TransportId,
    pub(crate) role: TransportRole,
    /// Owner's index in the shard.
    pub(crate) participant: usize,
    /// Published lines: mid → up track.
    pub(crate) published: Vec<(Mid, UpIndex)>,
    /// Relation of the publisher's clock to ours, for all its tracks.
    pub(crate) clock: WallClock,
    /// Waits to be run by the next flush.
    pub(crate) is_touched: bool,
    pub(crate) scheduled: Scheduled,
    rtc: Box<Rtc>,
    rtc_timeout: Instant,
    candidates: Vec<LocalCandidate>,
    codecs: CodecPolicy,
    ice_lite: bool,
    video_cache_packets: usize,
    audio_cache_packets: usize,
    rate_feedback: RateFeedback,
    playout: Option<PlayoutLimits>,
    payload_types: PayloadTypes,
    lines: Lines,
    /// Down tracks whose line the peer turned down; they have none and await none.
    turned_down: Vec<DownIndex>,
    requirement: Requirement,
    offering: Offering,
    channels: Channels,
    copies: Copies,
    track_channel: TrackChannel,
    sending: Sending,
    rx_streams: FxHashMap<u32, RxStream>,
    sources: Sources,
    extensions: TransportSeq,
    remote_candidates: usize,
    remote_ufrag: String,
    has_negotiated: bool,
    is_connected: bool,
    reconnect_by: Option<Instant>,
    /// When anything came that may be the peer's; a stranger's check looks like one of its own.
    heard: Instant,
    /// When something came that only the peer can have made: media, reports, data.
    proven: Instant,
    /// Its checks get lost.
    is_unchecked: bool,
    last_protocol: Protocol,
    created_at: Instant,
    /// A call into the association has panicked.
    is_broken: bool,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

impl Transport {
    /// Takes over a built association. A `Subscriber` makes its first offer at once.
    pub(crate) fn new(now: Instant, participant: usize, seed: TransportSeed, time_of_day: TimeOfDay) -> Self {
        let TransportSeed { id, role, mut rtc, options, keying } = seed;
        let sending = {
            let api = rtc.direct_api();
            Sending::new(keying, [*api.new_ssrc(), *api.new_ssrc()], time_of_day, options.rate_feedback)
        };
        let mut transport = Self {
            id,
            role,
            participant,
            published: Vec::new(),
            clock: WallClock::default(),
            is_touched: false,
            scheduled: Scheduled::default(),
            rtc,
            rtc_timeout: now,
            candidates: options.candidates,
            codecs: options.codecs,
            ice_lite: options.ice_lite,
            video_cache_packets: options.video_cache_packets,
            audio_cache_packets: options.audio_cache_packets,
            rate_feedback: options.rate_feedback,
            playout: options.playout,
            payload_types: PayloadTypes::default(),
            lines: Lines::default(),
            turned_down: Vec::new(),
            requirement: Requirement::default(),
            offering: Offering::default(),
            channels: Channels::new(),
            copies: Copies::default(),
            track_channel: TrackChannel::new(options.data_track_latency),
            sending,
            rx_streams: FxHashMap::default(),
            sources: Sources::default(),
            extensions: TransportSeq::default(),
            remote_candidates: 0,
            remote_ufrag: String::new(),
            has_negotiated: false,
            is_connected: false,
            reconnect_by: None,
            heard: now,
            proven: now,
            is_unchecked: false,
            last_protocol: Protocol::Udp,
            created_at: now,
            is_broken: false,
        };
        if role == TransportRole::Subscriber {
            transport.want_offer(now);
        }
        transport
    }

    /// Our current ICE user name fragment.
    pub(crate) fn local_ufrag(&mut self) -> String {
        let rtc = &mut self.rtc;
        let ufrag = attempt(&mut self.is_broken, || rtc.direct_api().local_ice_credentials().ufrag);
        ufrag.unwrap_or_default()
    }

    /// Earliest moment at which this transport wants to run.
    pub(crate) fn deadline(&self) -> Instant {
        if self.is_broken {
            return self.created_at;
        }
        let association = self.association_deadline();
        self.sending.deadline().map_or(association, |sending| sending.min(association))
    }

    /// The same without what goes past the association.
    pub(crate) fn association_deadline(&self) -> Instant {
        let own = [self.channels.deadline(), self.copies.deadline(), self.lost_by()];
        [self.requirement_deadline(), self.offering.deadline()]
            .into_iter()
            .chain(own)
            .flatten()
            .fold(self.rtc_timeout, Instant::min)
    }

    /// When the transport counts as lost unless something changes.
    fn lost_by(&self) -> Option<Instant> {
        let alive_until = self.proven + SILENCE;
        match self.reconnect_by {
            Some(deadline) => Some(deadline.max(alive_until)),
            None if !self.is_connected => None,
            None if self.is_unchecked => Some(alive_until),
            None => Some(self.heard + SILENCE),
        }
    }

    fn requirement_deadline(&self) -> Option<Instant> {
        self.requirement.deadline().filter(|_| self.asks_for_lines())
    }

    /// Whether the client is the one to add lines, and knows of us already.
    fn asks_for_lines(&self) -> bool {
        self.role == TransportRole::Both && self.has_negotiated
    }

    /// Lets a subscription wait for a line.
    pub(crate) fn add_subscription(&mut self, now: Instant, subscription: Subscription) {
        self.lines.wait(subscription);
        self.note_lines_changed(now);
    }

    /// Ends a subscription: its line falls silent now and is freed by the next negotiation.
    pub(crate) fn end_subscription(&mut self, now: Instant, down: DownIndex) {
        self.turned_down.retain(|other| *other != down);
        if let Some(mid) = self.lines.end(down) {
            self.close_stream(mid);
        }
        self.note_lines_changed(now);
    }

    /// Ends a subscription whose last frames are still to be sent; [`Self::end_fading`] frees its line. `None`: it has no
    /// stream, or ended before.
    pub(crate) fn fade_subscription(&mut self, down: DownIndex) -> Option<Mid> {
        self.lines.fade(down)
    }

    /// The last frames of a line are sent: it is freed by the next negotiation.
    pub(crate) fn end_fading(&mut self, now: Instant, mid: Mid) {
        if self.lines.end_fading(mid) {
            self.close_stream(mid);
            self.note_lines_changed(now);
        }
    }

    fn note_lines_changed(&mut self, now: Instant) {
        match self.role {
            TransportRole::Both => self.requirement.note_change(now, &self.lines),
            TransportRole::Subscriber => self.want_offer(now),
            TransportRole::Publisher => {}
        }
    }

    /// The down track whose packets flow on a line.
    pub(crate) fn down_on(&self, mid: Mid) -> Option<DownIndex> {
        self.lines.bound_down(mid)
    }

    /// Every down track of this transport: it has a line, awaits one or was turned down.
    pub(crate) fn downs(&self) -> Vec<DownIndex> {
        let on_lines = self.lines.iter().filter_map(lines::SendLine::down);
        let waiting =
            [MediaKind::Audio, MediaKind::Video].into_iter().flat_map(|kind| self.lines.waiting(kind));
        let turned_down = self.turned_down.iter().copied();
        on_lines.chain(waiting.map(|subscription| subscription.down)).chain(turned_down).collect()
    }

    /// Takes a trickled candidate. False: bad, unusable or one too many.
    pub(crate) fn add_remote_candidate(&mut self, text: &str) -> bool {
        let Ok(Ok(candidate)) = guard(|| Candidate::from_sdp_string(text)) else { return false };
        if self.ice_lite {
            return true; // the peer's checks tell its addresses; ours would only be a way to aim us at others
        }
        if self.remote_candidates >= MAX_REMOTE_CANDIDATES {
            return false;
        }
        self.remote_candidates += 1;
        let rtc = &mut self.rtc;
        attempt(&mut self.is_broken, || rtc.add_remote_candidate(candidate)).is_some()
    }

    /// Notes the peer's user name fragment; another one than before is an ICE restart.
    fn note_remote_ufrag(&mut self, ufrag: &str) {
        if self.remote_ufrag != ufrag {
            self.remote_candidates = 0;
            self.requirement.note_restart();
            ufrag.clone_into(&mut self.remote_ufrag);
        }
    }

    /// Reads what the peer's header extensions on some lines have turned out to be.
    fn note_extensions<'a>(&mut self, mids: impl Iterator<Item = &'a str>) {
        let (extensions, rtc) = (&mut self.extensions, &mut self.rtc);
        attempt(&mut self.is_broken, || extensions.note_negotiated(rtc, mids.map(Mid::from)));
    }

    /// Where the packets of an SSRC go. `None`: to no publication.
    pub(crate) fn rx_stream(
        &mut self,
        ssrc: Ssrc,
        index_of: impl FnOnce(UpIndex, Option<&str>) -> Option<StreamIndex>,
    ) -> Option<RxStream> {
        if let Some(known) = self.rx_streams.get(&*ssrc) {
            return Some(*known);
        }
        let rtc = &mut self.rtc;
        let (mid, rid) = attempt(&mut self.is_broken, || {
            let mut api = rtc.direct_api();
            api.stream_rx(&ssrc).map(|stream| (stream.mid(), stream.rid()))
        })??;
        let up = self.published.iter().find(|(published, _)| *published == mid)?.1;
        let stream = index_of(up, rid.as_deref())?;
        let found = RxStream { up, stream };
        if self.rx_streams.len() < MAX_RX_STREAMS {
            self.rx_streams.insert(*ssrc, found);
        }
        Some(found)
    }

    /// Kind of media of a negotiated line.
    pub(crate) fn kind_of(&self, mid: &str) -> Option<MediaKind> {
        let media = self.rtc.media(Mid::from(mid))?;
        Some(if media.kind().is_audio() { MediaKind::Audio } else { MediaKind::Video })
    }

    /// Unbinds an up track.
    pub(crate) fn unpublish(&mut self, up: UpIndex) {
        self.published.retain(|(_, published)| *published != up);
        self.rx_streams.retain(|_, stream| stream.up != up);
    }

    /// The up track and stream of a line, for sender reports.
    pub(crate) fn published_on(&self, mid: Mid) -> Option<UpIndex> {
        self.published.iter().find(|(published, _)| *published == mid).map(|(_, up)| *up)
    }

    /// Asks the publisher for a key frame of the stream with this SSRC.
    pub(crate) fn request_key_frame(&mut self, ssrc: Ssrc) {
        let rtc = &mut self.rtc;
        attempt(&mut self.is_broken, || {
            if let Some(stream) = rtc.direct_api().stream_rx(&ssrc) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
            }
        });
    }

    /// Whether nothing at all has come for so long, although it is connected.
    pub(crate) fn is_silent(&self, now: Instant, for_long: Duration) -> bool {
        self.is_connected && now >= self.heard + for_long
    }

    /// Down tracks whose packets flow.
    pub(crate) fn bound_downs(&self) -> impl Iterator<Item = DownIndex> {
        self.lines.iter().filter_map(|line| match &line.state {
            LineState::Bound(subscription) => Some(subscription.down),
            _ => None,
        })
    }

    /// Whether ICE and DTLS have been up. Before, nothing written here could leave.
    pub(crate) const fn is_connected(&self) -> bool {
        self.is_connected
    }

    /// Sends a data message now or later.
    pub(crate) fn send_data(
        &mut self,
        now: Instant,
        kind: DataKind,
        message: &Arc<[u8]>,
        counters: &mut Counters,
    ) -> Result<Pace, ReceiverStuck> {
        let (channels, rtc) = (&mut self.channels, &mut self.rtc);
        let sent = attempt(&mut self.is_broken, || channels.send(now, rtc, kind, message, counters));
        sent.unwrap_or(Ok(Pace::Keeps))
    }

    /// Whether a data track's frame may begin, whose first packet has `bytes`.
    pub(crate) fn may_begin_frame(&mut self, bytes: usize) -> Result<(), DropReason> {
        self.track_channel.may_begin(bytes)
    }

    /// Sends a data track packet now or not at all.
    pub(crate) fn send_track_packet(
        &mut self,
        now: Instant,
        packet: &[u8],
        counters: &mut Counters,
    ) -> Result<(), DropReason> {
        let (channel, rtc) = (&mut self.track_channel, &mut self.rtc);
        let sent = attempt(&mut self.is_broken, || channel.send(now, rtc, packet, counters));
        sent.unwrap_or(Err(DropReason::ChannelNotOpen))
    }

    /// What a channel carries; `None` when it is not known (any more).
    pub(crate) fn channel_use(&self, id: str0m::channel::ChannelId) -> Option<ChannelUse> {
        self.channels.channel_use(id)
    }

    /// One JSON object for diagnosis.
    pub(crate) fn snapshot(&self) -> String {
        let bound = self.lines.iter().filter(|line| matches!(line.state, LineState::Bound(_))).count();
        let waiting = self.lines.count_waiting();
        format!(
            "{{\"transport\":{},\"role\":\"{:?}\",\"connected\":{},\"lines\":{},\"bound\":{},\"waiting_audio\":{},\
             \"waiting_video\":{},\"published\":{},\"streams\":{},\"queued_data_bytes\":{},{}}}",
            self.id.0,
            self.role,
            self.is_connected,
            self.lines.iter().count(),
            bound,
            waiting.audio,
            waiting.video,
            self.published.len(),
            self.rx_streams.len(),
            self.channels.queued_bytes(),
            self.sending.snapshot(),
        )
    }
}

/// A panic inside str0m; the association must not be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// Runs a call into str0m so that a panic stays inside.
pub(crate) fn guard<T>(call: impl FnOnce() -> T) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|_| Broken)
}

/// As [`guard`]; a panic is noted, so that the transport fails when it runs next, which it then wants to at once.
fn attempt<T>(is_broken: &mut bool, call: impl FnOnce() -> T) -> Option<T> {
    let result = guard(call);
    *is_broken |= result.is_err();
    result.ok()
}

fn to_str0m_kind(kind: MediaKind) -> str0m::media::MediaKind {
    match kind {
        MediaKind::Audio => str0m::media::MediaKind::Audio,
        MediaKind::Video => str0m::media::MediaKind::Video,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demux::Demux;
    use crate::output::Transmits;

    #[test]
    fn a_transport_in_which_a_call_panicked_fails_at_its_next_run() {
        let now = Instant::now();
        let options = TransportOptions {
            candidates: Vec::new(),
            ice_lite: true,
            video_cache_packets: 10,
            audio_cache_packets: 10,
            playout: None,
            sctp_buffer_bytes: 100_000,
            rate_feedback: RateFeedback::default(),
            data_track_latency: Duration::ZERO,
            codecs: CodecPolicy::default(),
            certificate: Certificate::generate().unwrap(),
        };
        let seed = TransportSeed::build(TransportId(1), TransportRole::Both, &options, now);
        let mut transport = Transport::new(now, 0, seed, TimeOfDay::new(now, std::time::UNIX_EPOCH));
        let later = now + Duration::from_secs(1);
        let (mut transmits, mut signals, mut demux, mut counters) =
            (Transmits::default(), Vec::new(), Demux::default(), Counters::new());
        let mut outlet = Outlet {
            index: 0,
            transmits: &mut transmits,
            signals: &mut signals,
            demux: &mut demux,
            counters: &mut counters,
        };
        transport.run(later, &mut outlet);
        assert!(outlet.signals.is_empty() && transport.deadline() > later);
        let rtc = &mut transport.rtc;
        let none: Option<()> = attempt(&mut transport.is_broken, || {
            rtc.direct_api();
            panic!("as a hostile message would")
        });
        assert_eq!(none, None);
        assert!(transport.deadline() <= later);
        transport.close(later, &mut outlet);
        transport.run(later, &mut outlet);
        assert!(matches!(outlet.signals[..], [(0, Signal::Failed(TransportFailure::Fault))]));
    }

    #[test]
    fn a_panic_inside_a_call_stays_inside() {
        assert_eq!(guard(|| 1), Ok(1));
        assert_eq!(guard(|| -> u8 { panic!("as a hostile description would") }), Err(Broken));
    }
}
