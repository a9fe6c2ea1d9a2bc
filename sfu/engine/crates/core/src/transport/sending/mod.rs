//! The media that a transport sends. str0m negotiates, connects, receives and carries data; forwarded media goes past
//! it, because a walk through all its layers per packet costs more than the packet itself.
//!
//! Owns the streams of the lines that are bound, the SRTP keys that the handshake brought, the reports on these
//! streams, the feedback on them, and when their packets leave. Each of our SSRCs is protected here alone, and RTCP of our own leaves under an
//! SSRC that str0m does not use: no key is ever used twice with one index.

mod departed;
mod feedback;
mod feedback_budget;
mod header;
mod history;
mod ntp;
mod patch;
mod playout;
mod rate;
mod reception;
mod srtp;
mod stream;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashMap;
use slab::Slab;
use str0m::media::Mid;

pub(super) use feedback::Taken;
pub use ntp::TimeOfDay;
pub(crate) use patch::Patch;
pub use playout::PlayoutLimits;
pub(super) use srtp::Keying;
pub(crate) use stream::{OutgoingPacket, Ssrcs};

use super::drive::{Outlet, Signal};
use super::{Transport, attempt};
use crate::command::MediaKind;
use crate::drop_reason::DropReason;
use crate::input::Carrier;
use crate::output::{Path, Transmits};
use crate::rate::{RateEstimate, RateFeedback, RateGoal};
use crate::rtcp::{self, ReceptionBlock};
use crate::rtp::Codec;
use crate::stats::Counters;
use departed::{Departed, Departures};
use feedback_budget::FeedbackBudget;
use header::ExtensionIds;
use rate::{Held, RateControl};
use reception::Received;
use srtp::{SrtpError, SrtpSession};
use stream::{SendStream, Stamp, StreamConfig};

/// Bytes of a compound packet of reports beyond which another one is begun.
const MAX_COMPOUND_BYTES: usize = 1_000;
/// Bytes of a compound packet with one reception block.
const RECEPTION_BYTES: usize = 32;
/// Packets of padding that may leave at once.
const MAX_PADDING_PACKETS: usize = 64;
/// Least time between two questions which way the association sends.
const PATH_QUESTION_INTERVAL: Duration = Duration::from_millis(100);

/// Filled by the handshake.
pub(super) type KeyingSlot = Arc<OnceLock<Keying>>;

/// How sender reports of a peer are named in reports to it.
pub(crate) fn report_stamp(ntp_time: SystemTime) -> u32 {
    ntp::middle(ntp::from_system_time(ntp_time))
}

/// Index of a stream in its transport.
pub(crate) type SendIndex = usize;

/// What a transport sends.
#[derive(Debug)]
pub(super) struct Sending {
    keying: KeyingSlot,
    session: Option<SrtpSession>,
    /// Under which our RTCP leaves.
    reporter: u32,
    /// Under which the association is asked for its path.
    asker: u32,
    time_of_day: TimeOfDay,
    streams: Slab<SendStream>,
    /// Of each of their SSRCs.
    by_ssrc: FxHashMap<u32, SendIndex>,
    feedback_budget: FeedbackBudget,
    rate: RateControl,
    departures: Departures,
    path: Option<Path>,
    /// Packets have come from elsewhere: the association may have turned to another path.
    is_path_doubtful: bool,
    asked_at: Option<Instant>,
    reports_due: Option<Instant>,
}

impl Sending {
    pub(super) fn new(
        keying: KeyingSlot,
        [reporter, asker]: [u32; 2],
        time_of_day: TimeOfDay,
        feedback: RateFeedback,
    ) -> Self {
        Self {
            keying,
            session: None,
            reporter,
            asker,
            time_of_day,
            streams: Slab::new(),
            by_ssrc: FxHashMap::default(),
            feedback_budget: FeedbackBudget::default(),
            rate: RateControl::new(feedback),
            departures: Departures::default(),
            path: None,
            is_path_doubtful: false,
            asked_at: None,
            reports_due: None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.reports_due, self.rate.deadline()].into_iter().flatten().min()
    }

    /// What part of the packets the path loses by itself, as far as that is known.
    pub(super) fn own_loss(&self) -> f64 {
        self.rate.own_loss()
    }

    /// What is known of the rate, as members of a JSON object for diagnosis.
    pub(super) fn snapshot(&self) -> String {
        self.rate.snapshot()
    }

    /// The association sends this way, as it has just shown.
    pub(super) fn note_path(&mut self, carrier: Carrier, source: SocketAddr, destination: SocketAddr) {
        self.path = Some(Path { carrier, source, destination });
        self.is_path_doubtful = false;
    }

    /// A connectivity check came over a path.
    pub(super) fn note_check(&mut self, carrier: Carrier, source: SocketAddr, destination: SocketAddr) {
        let checked = Path { carrier, source: destination, destination: source };
        self.is_path_doubtful |= self.path != Some(checked);
    }

    /// What the next packet says of the moment.
    fn stamp(&self, now: Instant) -> Stamp {
        Stamp { now, send_time: self.time_of_day.send_time(now), transport_seq: self.rate.next_seq() }
    }

    /// The keys, once the handshake has brought them.
    fn session(&mut self) -> Option<&mut SrtpSession> {
        if self.session.is_none() {
            self.session = SrtpSession::new(self.keying.get()?).ok();
        }
        self.session.as_mut()
    }

    /// What the peer can tell of the rate, where `wanted` is what we would go by. Without transport-wide numbers on any
    /// of its video that is its own estimate, or nothing, with which everything is sent at once.
    fn feedback(&self, wanted: RateFeedback) -> RateFeedback {
        let mut videos = self.streams.iter().filter(|(_, stream)| stream.kind == MediaKind::Video).peekable();
        let lacks_numbers =
            videos.peek().is_some() && !videos.any(|(_, stream)| stream.takes_transport_seq());
        match wanted {
            RateFeedback::TransportWide if lacks_numbers => RateFeedback::Receiver,
            wanted => wanted,
        }
    }

    fn stream_by(&mut self, ssrc: u32) -> Option<&mut SendStream> {
        self.streams.get_mut(*self.by_ssrc.get(&ssrc)?)
    }
}

/// One stream made ready for all packets of a flush.
pub(crate) struct Lane<'a> {
    now: Instant,
    send_time: u32,
    index: SendIndex,
    stream: &'a mut SendStream,
    rate: &'a mut RateControl,
    departures: &'a mut Departures,
    session: &'a SrtpSession,
    path: Path,
    reports_due: &'a mut Option<Instant>,
}

impl Lane<'_> {
    /// Sends one packet now or, where it would come as part of a burst, soon. False: cryptography refused it.
    pub(crate) fn send(
        &mut self,
        packet: &OutgoingPacket<'_>,
        transmits: &mut Transmits,
        counters: &mut Counters,
    ) -> bool {
        let (stream, session, now) = (&mut *self.stream, self.session, self.now);
        let is_paced = stream.kind == MediaKind::Video;
        if is_paced && self.rate.must_wait(now) {
            counters.paced += 1;
            let held = stream.hold(now, packet);
            self.rate.hold(now, (self.index, stream.ssrcs.media), held);
            return true;
        }
        let stamp = Stamp { now, send_time: self.send_time, transport_seq: self.rate.next_seq() };
        let written = transmits.write(self.path, |out| stream.write(stamp, session, out, packet));
        let Ok(bytes) = written else { return false };
        if let (Some(_), true) = (packet.resend_type, stream.takes_transport_seq()) {
            let (stream, ssrc, transport_seq) = (self.index, stream.ssrcs.media, stamp.transport_seq);
            #[expect(clippy::cast_possible_truncation, reason = "as the peer sees it")]
            let seq = packet.seq as u16;
            self.departures.push(Departed { stream, ssrc, seq, transport_seq });
        }
        self.rate.note_sent(now, bytes, is_paced, stream.takes_transport_seq());
        count_sent(counters, bytes);
        counters.packets_out += 1;
        true
    }

    /// Ends the flush. True: the transport wants to be scheduled anew.
    pub(crate) fn finish(self) -> bool {
        let wants_time = self.rate.finish(self.now);
        let Some(due) = self.stream.report_due() else { return wants_time };
        let is_earlier = self.reports_due.is_none_or(|known| due < known);
        if is_earlier {
            *self.reports_due = Some(due);
        }
        is_earlier || wants_time
    }
}

fn count_sent(counters: &mut Counters, bytes: usize) {
    counters.datagrams_out += 1;
    counters.bytes_out += bytes as u64;
}

impl Transport {
    /// Makes a stream ready. `None`: it is gone, or nothing can be sent yet.
    pub(crate) fn lane(&mut self, now: Instant, index: SendIndex, ssrc: u32) -> Option<Lane<'_>> {
        let sending = &mut self.sending;
        sending.session()?;
        let stream = sending.streams.get_mut(index).filter(|stream| stream.ssrcs.media == ssrc)?;
        Some(Lane {
            now,
            send_time: sending.time_of_day.send_time(now),
            index,
            stream,
            rate: &mut sending.rate,
            departures: &mut sending.departures,
            session: sending.session.as_ref()?,
            path: sending.path?,
            reports_due: &mut sending.reports_due,
        })
    }

    /// SSRCs for a line that is to send.
    pub(super) fn fresh_ssrcs(&mut self, kind: MediaKind) -> Ssrcs {
        let mut fresh = || loop {
            let ssrc = *self.rtc.direct_api().new_ssrc();
            if ![self.sending.reporter, self.sending.asker].contains(&ssrc)
                && !self.sending.by_ssrc.contains_key(&ssrc)
            {
                return ssrc;
            }
        };
        let media = fresh();
        let resend = (kind == MediaKind::Video).then(fresh);
        Ssrcs { media, resend: resend.filter(|resend| *resend != media) }
    }

    /// Makes the stream of a bound line.
    pub(super) fn open_stream(&mut self, now: Instant, mid: Mid) -> Option<(SendIndex, u32)> {
        let line = self.lines.get(mid)?;
        let (kind, ssrcs, cname) = (line.kind, line.ssrcs?, line.subscription()?.stream_id.clone());
        let (history_packets, codec) = match kind {
            MediaKind::Video => (self.video_cache_packets, Codec::Vp8),
            MediaKind::Audio => (self.audio_cache_packets, Codec::Opus),
        };
        let media = self.rtc.media(mid)?;
        let ids = ExtensionIds::of(media);
        let mut known =
            self.rtc.codec_config().iter().filter(|params| media.remote_pts().contains(&params.pt()));
        let padding_type = known.find_map(str0m::format::PayloadParams::resend).map(|resend| *resend);
        #[expect(clippy::cast_possible_truncation, reason = "the low bits of a random number")]
        let first_resend_seq = (ssrcs.media as u16).max(1);
        let stream = SendStream::new(
            now,
            StreamConfig {
                ssrcs,
                mid,
                kind,
                cname,
                ids,
                padding_type: padding_type.filter(|_| kind == MediaKind::Video),
                history_packets,
                clock_rate_hz: codec.clock_rate_hz(),
                time_of_day: self.sending.time_of_day,
                playout: self.playout.filter(|_| kind == MediaKind::Video),
                first_resend_seq,
            },
        );
        let index = self.sending.streams.insert(stream);
        let of_stream = [Some(ssrcs.media), ssrcs.resend].into_iter().flatten();
        self.sending.by_ssrc.extend(of_stream.map(|ssrc| (ssrc, index)));
        self.sending.rate.go_by(now, self.sending.feedback(self.rate_feedback));
        Some((index, ssrcs.media))
    }

    /// Ends the stream of a line, if it has one.
    pub(super) fn close_stream(&mut self, mid: Mid) {
        if let Some(line) = self.lines.get_mut(mid) {
            line.ssrcs = None;
        }
        let Sending { streams, by_ssrc, .. } = &mut self.sending;
        streams.retain(|_, stream| stream.mid != mid);
        by_ssrc.retain(|_, index| streams.contains(*index));
    }

    /// Takes away the streams that the association has made for our lines: it is not to send on them, and each would
    /// cost time at every timeout.
    pub(super) fn remove_library_streams(&mut self) {
        let mids: Vec<Mid> = self.lines.iter().map(|line| line.mid).collect();
        let rtc = &mut self.rtc;
        attempt(&mut self.is_broken, || {
            let mut api = rtc.direct_api();
            for mid in mids {
                while let Some(ssrc) = api.stream_tx_by_mid(mid, None).map(|stream| stream.ssrc()) {
                    api.remove_stream_tx(ssrc);
                }
            }
        });
    }

    /// Whether packets of a stream may carry the dependency descriptor.
    pub(crate) fn takes_descriptors(&self, index: SendIndex) -> bool {
        self.sending.streams.get(index).is_some_and(SendStream::takes_descriptors)
    }

    /// Whether packets of a stream still wait to leave.
    pub(crate) fn has_waiting(&self, index: SendIndex, ssrc: u32) -> bool {
        self.sending.rate.holds(index, ssrc)
    }

    /// How a stream has arrived since the last call; `None`: it is gone.
    pub(crate) fn take_received(&mut self, index: SendIndex, ssrc: u32) -> Option<Received> {
        let stream = self.sending.streams.get_mut(index).filter(|stream| stream.ssrcs.media == ssrc)?;
        Some(stream.take_received())
    }

    /// The codec of a stream has another clock than most of its kind.
    pub(crate) fn set_stream_clock(&mut self, index: SendIndex, clock_rate_hz: u32) {
        if let Some(stream) = self.sending.streams.get_mut(index) {
            stream.set_clock_rate_hz(clock_rate_hz);
        }
    }

    /// Sends the reports that are due.
    pub(super) fn send_reports(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        let sending = &mut self.sending;
        if sending.reports_due.is_none_or(|due| due > now) {
            return;
        }
        sending.reports_due = None;
        let (Some(path), Some(session)) = (sending.path, sending.session.as_mut()) else { return };
        let mut compound = Vec::new();
        for (_, stream) in &mut sending.streams {
            if let Some(report) = stream.take_report(now) {
                if compound.is_empty() {
                    rtcp::begin_compound(&mut compound, sending.reporter);
                }
                rtcp::write_sender_report(&mut compound, report);
                rtcp::write_cname(&mut compound, report.ssrc, &stream.cname);
            }
            if let Some(due) = stream.report_due() {
                sending.reports_due = Some(sending.reports_due.map_or(due, |known| known.min(due)));
            }
            if compound.len() > MAX_COMPOUND_BYTES {
                send_compound(session, path, &compound, outlet.transmits, outlet.counters);
                compound.clear();
            }
        }
        if !compound.is_empty() {
            send_compound(session, path, &compound, outlet.transmits, outlet.counters);
        }
    }

    /// Tells the peer how a stream of its arrives here. The association tells it too, but knows less.
    pub(crate) fn send_reception(
        &mut self,
        block: &ReceptionBlock,
        transmits: &mut Transmits,
        counters: &mut Counters,
    ) {
        let sending = &mut self.sending;
        if sending.session().is_none() || !self.is_connected {
            return;
        }
        let (Some(path), Some(session)) = (sending.path, sending.session.as_mut()) else { return };
        let mut compound = Vec::with_capacity(RECEPTION_BYTES);
        rtcp::write_reception(&mut compound, sending.reporter, block);
        send_compound(session, path, &compound, transmits, counters);
    }

    /// What is known of the rate at which the peer can be sent to. `None`: nothing; everything may be sent.
    pub(crate) fn rate_estimate(&self) -> Option<RateEstimate> {
        self.sending.rate.estimate()
    }

    /// Whether the estimate speaks of video alone: a receiver that estimates by itself looks at nothing else.
    pub(crate) fn is_estimated_by_video(&self) -> bool {
        self.sending.rate.feedback() == RateFeedback::Receiver
    }

    /// What the allocator wants. The transport is to be scheduled afterwards: it may have something to try.
    pub(crate) fn set_rate_goal(&mut self, now: Instant, goal: RateGoal) {
        self.sending.rate.set_goal(now, goal);
    }

    /// Lets what may leave by now leave: what waits, padding of a probe. Says what has become known of the rate.
    pub(super) fn run_rate(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        self.sending.rate.advance(now);
        if self.sending.rate.advance_probe(now) {
            outlet.counters.probes += 1;
        }
        while let Some(held) = self.sending.rate.release(now) {
            self.send_held(now, held, outlet);
        }
        for _ in 0..MAX_PADDING_PACKETS {
            let Some(padding) = self.sending.rate.padding(now) else { break };
            if !self.send_padding(now, padding, outlet) {
                break;
            }
        }
        self.tell_rate(now, outlet);
    }

    /// Says what has become known of the rate.
    fn tell_rate(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        if let Some(estimate) = self.sending.rate.poll_change(now) {
            outlet.signal(Signal::RateEstimated(estimate));
        }
        self.sending.rate.settle(now);
    }

    /// Sends what waited for its turn. False: it has not left, for its stream is gone or it may not be sent again now.
    fn send_held(&mut self, now: Instant, held: Held, outlet: &mut Outlet<'_>) -> bool {
        let sending = &mut self.sending;
        let stamp = sending.stamp(now);
        let (index, ssrc) = match &held {
            Held::Fresh { stream, ssrc, .. } | Held::Lost { stream, ssrc, .. } => (*stream, *ssrc),
        };
        let is_fresh = matches!(held, Held::Fresh { .. });
        let seq = match &held {
            Held::Fresh { packet, .. } => packet.resendable_seq(),
            Held::Lost { seq, .. } => Some(*seq),
        };
        let stream = sending.streams.get_mut(index).filter(|stream| stream.ssrcs.media == ssrc);
        let (Some(stream), Some(path), Some(session)) = (stream, sending.path, sending.session.as_ref())
        else {
            if is_fresh {
                outlet.counters.count_drop(DropReason::NotBound); // its subscription has ended
            }
            return false;
        };
        let written = outlet.transmits.write(path, |out| match held {
            Held::Fresh { packet, .. } => stream.write_held(stamp, session, out, packet),
            Held::Lost { seq, is_copy, .. } if stream.write_again(stamp, session, out, (seq, is_copy)) => {
                Ok(())
            }
            Held::Lost { .. } => Err(SrtpError),
        });
        let Ok(bytes) = written else {
            if is_fresh {
                outlet.counters.count_drop(DropReason::NotBound);
            }
            return false;
        };
        let is_paced = stream.kind == MediaKind::Video;
        let kept_seq = seq.filter(|_| !is_fresh).and_then(|seq| stream.kept_transport_seq(seq));
        let has_new_seq = is_paced && stream.takes_transport_seq();
        if let Some(kept_seq) = kept_seq {
            sending.rate.note_repeated(kept_seq);
        }
        if let (Some(seq), true) = (seq, has_new_seq) {
            sending.departures.push(Departed {
                stream: index,
                ssrc,
                seq,
                transport_seq: stamp.transport_seq,
            });
        }
        sending.rate.note_sent(now, bytes, is_paced, has_new_seq);
        count_sent(outlet.counters, bytes);
        let count =
            if is_fresh { &mut outlet.counters.packets_out } else { &mut outlet.counters.retransmitted };
        *count += 1;
        true
    }

    /// Sends one packet that only fills the path. False: there is no stream for it.
    fn send_padding(&mut self, now: Instant, padding: (u64, usize), outlet: &mut Outlet<'_>) -> bool {
        let sending = &mut self.sending;
        let stamp = sending.stamp(now);
        let (Some(path), Some(session)) = (sending.path, sending.session.as_ref()) else { return false };
        for (_, stream) in &mut sending.streams {
            let written = outlet.transmits.write(path, |out| {
                if stream.write_padding(stamp, session, out, padding) { Ok(()) } else { Err(SrtpError) }
            });
            if let Ok(bytes) = written {
                sending.rate.note_sent(now, bytes, true, stream.takes_transport_seq());
                count_sent(outlet.counters, bytes);
                outlet.counters.padding_bytes += bytes as u64;
                return true;
            }
        }
        false
    }

    /// Lets the association show which way it sends now, when that is in doubt: nothing else tells.
    pub(super) fn ask_for_path(&mut self, now: Instant) -> bool {
        let sending = &mut self.sending;
        let is_too_early = sending.asked_at.is_some_and(|at| now < at + PATH_QUESTION_INTERVAL);
        if !sending.is_path_doubtful || !self.is_connected || is_too_early {
            return false;
        }
        sending.asked_at = Some(now);
        let asker = sending.asker.into();
        let rtc = &mut self.rtc;
        // An empty application message, which receivers ignore: the smallest packet that it sends at once.
        attempt(&mut self.is_broken, || rtc.direct_api().send_app_specific_feedback(asker, asker, &[][..]));
        true
    }
}

fn send_compound(
    session: &mut SrtpSession,
    path: Path,
    compound: &[u8],
    transmits: &mut Transmits,
    counters: &mut Counters,
) {
    let written = transmits.write(path, |out| {
        let start = out.len();
        out.extend_from_slice(compound);
        session.protect_rtcp(out, start).inspect_err(|_| out.truncate(start))
    });
    if let Ok(bytes) = written {
        counters.datagrams_out += 1;
        counters.bytes_out += bytes as u64;
    }
}
