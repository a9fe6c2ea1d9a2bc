//! One stream of ours: an SSRC with its retransmissions, its numbers for reports, and what it has sent lately.
//!
//! What a peer has lost goes again: video as packets of the other SSRC, audio as it was.
//!
//! Writes whole datagrams to the end of the buffer in which they leave: the payload is copied once and encrypted in
//! place, nothing is allocated. Which packets, with which numbers, is the fan-out's decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::Mid;
use str0m::rtp::ExtensionValues;

use super::header::{Elements, ExtensionIds, Hop, Numbers, write_header};
use super::history::{History, Repeat, SentPacket};
use super::ntp::{self, TimeOfDay};
use super::patch::Patch;
use super::playout::{PlayoutDelay, PlayoutLimits};
use super::reception::{Received, Reception};
use super::srtp::{SrtpError, SrtpSession};
use crate::command::MediaKind;
use crate::estimator::Losses;
use crate::rtcp::{ReportBlock, SenderReport};

/// Reports come that often while a stream is young: receivers need two to play sound and picture together …
const EARLY_REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// … so many …
const EARLY_REPORTS: u32 = 5;
/// … and then that often.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes of the original sequence number before a retransmitted payload (RFC 4588 §4).
const OSN_BYTES: usize = 2;
/// The most padding that one packet can have (RFC 3550 §5.1).
const MAX_PADDING_BYTES: usize = 255;
/// Packets of less payload than this are not worth being sent again as padding.
const WORTHWHILE_BYTES: usize = 400;
/// Packets sent again as padding are among the last so many.
const PADDING_PACKETS: u64 = 16;
const HAS_PADDING: u8 = 1 << 5;

/// A packet as one subscriber gets it.
#[derive(Debug)]
pub(crate) struct OutgoingPacket<'a> {
    pub(crate) payload_type: u8,
    /// Payload type of its retransmission, of audio its own; `None`: it is sent once.
    pub(crate) resend_type: Option<u8>,
    pub(crate) marker: bool,
    /// First packet of a key frame: nobody needs what came before it.
    pub(crate) starts_key_frame: bool,
    /// Extended sequence number.
    pub(crate) seq: u64,
    pub(crate) timestamp: u32,
    /// When it was captured, on our clock.
    pub(crate) captured_at: Instant,
    pub(crate) payload: &'a Arc<[u8]>,
    pub(crate) patch: Patch,
    pub(crate) values: &'a ExtensionValues,
    /// Its dependency descriptor, already with this subscriber's numbers.
    pub(crate) descriptor: Option<&'a [u8]>,
}

/// SSRCs of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ssrcs {
    pub(crate) media: u32,
    /// Of its retransmissions.
    pub(crate) resend: Option<u32>,
}

/// What a packet says of the moment at which it leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) now: Instant,
    /// That moment as peers see it.
    pub(super) send_time: u32,
    /// Its number among all packets of the transport.
    pub(super) transport_seq: u16,
}

/// A packet that has to wait before it leaves.
#[derive(Debug)]
pub(super) struct HeldPacket {
    payload_type: u8,
    resend_type: Option<u8>,
    captured_at: Instant,
    packet: SentPacket,
}

impl HeldPacket {
    /// Bytes of its payload.
    pub(super) fn payload_bytes(&self) -> usize {
        self.packet.payload.len()
    }

    /// Its number as the peer sees it, when it can be sent again.
    #[expect(clippy::cast_possible_truncation, reason = "16 bits are sent")]
    pub(super) fn resendable_seq(&self) -> Option<u16> {
        self.resend_type.map(|_| self.packet.seq as u16)
    }
}

/// What is written of a packet.
struct Parts<'a> {
    numbers: Numbers,
    elements: &'a Elements,
    /// Before the payload of a retransmission.
    original_seq: Option<u64>,
    payload: &'a [u8],
    patch: Patch,
}

/// What a stream needs to begin.
#[derive(Debug)]
pub(super) struct StreamConfig {
    pub(super) ssrcs: Ssrcs,
    pub(super) mid: Mid,
    pub(super) kind: MediaKind,
    pub(super) cname: Box<str>,
    pub(super) ids: ExtensionIds,
    /// Payload type for padding among the retransmissions; `None`: there are none.
    pub(super) padding_type: Option<u8>,
    /// Packets kept for retransmission.
    pub(super) history_packets: usize,
    pub(super) clock_rate_hz: u32,
    pub(super) time_of_day: TimeOfDay,
    /// Limits of the delay at which the peer is asked to play it; `None`: it is not asked.
    pub(super) playout: Option<PlayoutLimits>,
    /// First extended sequence number of the retransmissions (random).
    pub(super) first_resend_seq: u16,
}

/// A stream on its way out.
#[derive(Debug)]
pub(super) struct SendStream {
    pub(super) ssrcs: Ssrcs,
    pub(super) mid: Mid,
    pub(super) kind: MediaKind,
    pub(super) cname: Box<str>,
    ids: ExtensionIds,
    padding_type: Option<u8>,
    clock_rate_hz: u32,
    time_of_day: TimeOfDay,
    /// The peer has reported on it: it knows which line it is of.
    is_known: bool,
    packets: u32,
    octets: u32,
    /// RTP timestamp and moment of the last captured packet.
    last: Option<(u32, Instant)>,
    report_due: Option<Instant>,
    reports: u32,
    packets_at_report: u32,
    /// Packets and payload bytes at the peer's last report.
    at_peer_report: (u32, u32),
    /// Highest number sent, and the one at the peer's last report (or before the first).
    highest: u64,
    highest_at_peer_report: Option<u64>,
    resend_seq: u64,
    playout: Option<PlayoutDelay>,
    history: History,
    reception: Reception,
}

impl SendStream {
    pub(super) fn new(now: Instant, config: StreamConfig) -> Self {
        // Receivers of audio know no retransmissions that are a stream of their own.
        let repeat = if config.kind == MediaKind::Audio { Repeat::Same } else { Repeat::Apart };
        Self {
            ssrcs: config.ssrcs,
            mid: config.mid,
            kind: config.kind,
            cname: config.cname,
            ids: config.ids,
            padding_type: config.padding_type,
            clock_rate_hz: config.clock_rate_hz,
            time_of_day: config.time_of_day,
            is_known: false,
            packets: 0,
            octets: 0,
            last: None,
            report_due: None,
            reports: 0,
            packets_at_report: 0,
            at_peer_report: (0, 0),
            highest: 0,
            highest_at_peer_report: None,
            resend_seq: u64::from(config.first_resend_seq),
            playout: (config.kind == MediaKind::Video).then(|| PlayoutDelay::new(now, config.playout)),
            history: History::new(now, config.history_packets, repeat),
            reception: Reception::default(),
        }
    }

    /// Whether its packets may carry the dependency descriptor.
    pub(super) fn takes_descriptors(&self) -> bool {
        self.ids.takes_descriptors()
    }

    /// Whether its packets carry transport-wide sequence numbers.
    pub(super) const fn takes_transport_seq(&self) -> bool {
        self.ids.takes_transport_seq()
    }

    /// Another rate of the RTP clock, when the codec turned out to be another.
    pub(super) fn set_clock_rate_hz(&mut self, clock_rate_hz: u32) {
        self.clock_rate_hz = clock_rate_hz;
    }

    /// What a packet that leaves now says of this hop.
    fn hop(&self, stamp: Stamp) -> Hop {
        Hop {
            mid: (!self.is_known).then_some(self.mid),
            send_time: stamp.send_time,
            transport_seq: stamp.transport_seq,
        }
    }

    /// Appends one packet to `out`, encrypted under its extended sequence number.
    fn put(
        &self,
        hop: Hop,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        parts: &Parts<'_>,
    ) -> Result<(), SrtpError> {
        let start = out.len();
        let header_bytes = write_header(out, parts.numbers, hop, self.ids, parts.elements);
        if let Some(original_seq) = parts.original_seq {
            out.extend_from_slice(&original_seq.to_be_bytes()[8 - OSN_BYTES..]);
        }
        let payload_start = out.len();
        out.extend_from_slice(parts.payload);
        parts.patch.apply(&mut out[payload_start..]);
        let Numbers { ssrc, seq, .. } = parts.numbers;
        session.protect_rtp(out, start, header_bytes, ssrc, seq).inspect_err(|_| out.truncate(start))
    }

    /// The extensions of a packet as this subscriber gets it.
    fn lay_out(&mut self, now: Instant, packet: &OutgoingPacket<'_>) -> Elements {
        let playout_delay = self.playout.as_mut().and_then(|delay| delay.value_for(now, packet.seq));
        self.ids.elements(packet.values, playout_delay, packet.descriptor)
    }

    /// Appends a packet to `out`.
    ///
    /// # Errors
    /// [`SrtpError`]: `out` is as it was.
    pub(super) fn write(
        &mut self,
        stamp: Stamp,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        packet: &OutgoingPacket<'_>,
    ) -> Result<(), SrtpError> {
        let elements = self.lay_out(stamp.now, packet);
        let numbers = Numbers {
            payload_type: packet.payload_type,
            marker: packet.marker,
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: self.ssrcs.media,
        };
        let (payload, patch) = (&**packet.payload, packet.patch);
        let hop = self.hop(stamp);
        self.put(
            hop,
            session,
            out,
            &Parts { numbers, elements: &elements, original_seq: None, payload, patch },
        )?;
        self.count(stamp.now, numbers, packet.payload.len(), packet.captured_at);
        if let Some(resend_type) = packet.resend_type {
            self.history.keep(SentPacket {
                seq: packet.seq,
                timestamp: packet.timestamp,
                resend_type,
                marker: packet.marker,
                starts_key_frame: packet.starts_key_frame,
                payload: Arc::clone(packet.payload),
                patch: packet.patch,
                elements,
                sent_at: stamp.now,
                resent_at: None,
                send_time: hop.send_time,
                transport_seq: hop.transport_seq,
                names_line: hop.mid.is_some(),
            });
        }
        Ok(())
    }

    /// Keeps a packet that is to leave later, by [`Self::write_held`].
    pub(super) fn hold(&mut self, now: Instant, packet: &OutgoingPacket<'_>) -> HeldPacket {
        HeldPacket {
            payload_type: packet.payload_type,
            resend_type: packet.resend_type,
            captured_at: packet.captured_at,
            packet: SentPacket {
                seq: packet.seq,
                timestamp: packet.timestamp,
                resend_type: packet.resend_type.unwrap_or_default(),
                marker: packet.marker,
                starts_key_frame: packet.starts_key_frame,
                payload: Arc::clone(packet.payload),
                patch: packet.patch,
                elements: self.lay_out(now, packet),
                sent_at: now,
                resent_at: None,
                send_time: 0,
                transport_seq: 0,
                names_line: false,
            },
        }
    }

    /// Appends a packet to `out` that was held back.
    ///
    /// # Errors
    /// [`SrtpError`]: `out` is as it was.
    pub(super) fn write_held(
        &mut self,
        stamp: Stamp,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        held: HeldPacket,
    ) -> Result<(), SrtpError> {
        let HeldPacket { payload_type, resend_type, captured_at, mut packet } = held;
        let numbers = Numbers {
            payload_type,
            marker: packet.marker,
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: self.ssrcs.media,
        };
        let (payload, patch) = (&*packet.payload, packet.patch);
        let parts = Parts { numbers, elements: &packet.elements, original_seq: None, payload, patch };
        let hop = self.hop(stamp);
        self.put(hop, session, out, &parts)?;
        self.count(stamp.now, numbers, packet.payload.len(), captured_at);
        if resend_type.is_some() {
            packet.sent_at = stamp.now;
            packet.send_time = hop.send_time;
            packet.transport_seq = hop.transport_seq;
            packet.names_line = hop.mid.is_some();
            self.history.keep(packet);
        }
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "both counts wrap at 32 bits (RFC 3550 §6.4.1)")]
    fn count(&mut self, now: Instant, numbers: Numbers, payload_bytes: usize, captured_at: Instant) {
        self.reception.note_sent(numbers.seq);
        self.highest = self.highest.max(numbers.seq);
        self.highest_at_peer_report.get_or_insert(numbers.seq.saturating_sub(1));
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_bytes as u32);
        self.last = Some((numbers.timestamp, captured_at));
        self.report_due.get_or_insert(now);
    }

    /// The peer lacks a packet, which can be sent again. `own_loss`: what part the path loses by itself;
    /// `spare_loss`: the same, or 0 where it has no room for answers that go more than once.
    #[expect(clippy::cast_possible_truncation, reason = "a share")]
    pub(super) fn note_lost(
        &mut self,
        now: Instant,
        round_trip: Option<Duration>,
        own_loss: f64,
        spare_loss: f64,
    ) {
        self.history.note_spare_loss(spare_loss as f32);
        if let Some(playout) = &mut self.playout {
            playout.note_lost(now, round_trip.unwrap_or_else(|| self.history.round_trip()), own_loss);
        }
    }

    /// Payload bytes of a packet that the peer misses; `None`: it is gone, or cannot be sent again.
    pub(super) fn resend_bytes(&self, seq: u16) -> Option<usize> {
        self.can_repeat().then(|| self.history.bytes_of(seq)).flatten()
    }

    /// Whether there is a way for packets to go again.
    fn can_repeat(&self) -> bool {
        self.ssrcs.resend.is_some() || self.history.repeat() == Repeat::Same
    }

    /// The transport-wide number under which a packet goes again as it was; `None`: it gets a new one, or has none.
    pub(super) fn kept_transport_seq(&self, seq: u16) -> Option<u16> {
        let keeps_it = self.history.repeat() == Repeat::Same && self.takes_transport_seq();
        keeps_it.then(|| self.history.transport_seq_of(seq)).flatten()
    }

    /// When the path was last seen to be sent far more than it bears, if that was lately.
    pub(super) const fn note_flood(&mut self, flooded_at: Option<Instant>) {
        self.history.note_flood(flooded_at);
    }

    /// Whether the peer can do without a packet.
    pub(super) fn is_dispensable(&self, seq: u16) -> bool {
        self.history.is_dispensable(seq)
    }

    /// Whether a packet left last under this transport-wide number.
    pub(super) fn left_last_as(&self, seq: u16, transport_seq: u16) -> bool {
        self.history.left_last_as(seq, transport_seq)
    }

    /// How often more what was just sent again should go.
    pub(super) fn copies(&self) -> usize {
        self.history.copies()
    }

    /// Appends a packet again that the peer misses, or once more what just went. False: it is gone, or may not be sent
    /// again now.
    pub(super) fn write_again(
        &mut self,
        stamp: Stamp,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        (seq, is_copy): (u16, bool),
    ) -> bool {
        if !self.can_repeat() {
            return false;
        }
        let packet = if is_copy {
            self.history.take_copy(seq)
        } else {
            self.history.take_for_resend(stamp.now, seq, stamp.transport_seq)
        };
        let Some(packet) = packet.cloned() else { return false };
        match self.history.repeat() {
            Repeat::Apart => self.write_resend(stamp, session, out, &packet).is_ok(),
            Repeat::Same => self.write_same(session, out, &packet).is_ok(),
        }
    }

    /// Appends a packet that only fills the path: one of the last ones again, which the peer ignores when it has it, or
    /// nothing but padding. False: this stream has no retransmissions, or has sent nothing yet.
    pub(super) fn write_padding(
        &mut self,
        stamp: Stamp,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        (nth, bytes): (u64, usize),
    ) -> bool {
        let (Some(ssrc), Some(payload_type)) = (self.ssrcs.resend, self.padding_type) else { return false };
        let Some((timestamp, _)) = self.last else { return false };
        // A probe is measured by its packets: rather many small ones than one that is larger than what is due.
        if let Some(packet) = self.history.recent(nth % PADDING_PACKETS)
            && (WORTHWHILE_BYTES..=bytes).contains(&packet.payload.len())
        {
            let packet = packet.clone();
            return self.write_resend(stamp, session, out, &packet).is_ok();
        }
        let start = out.len();
        let mut padding = [0; MAX_PADDING_BYTES];
        let length = bytes.clamp(1, MAX_PADDING_BYTES);
        #[expect(clippy::cast_possible_truncation, reason = "at most 255")]
        let last = length as u8;
        padding[length - 1] = last;
        let seq = self.resend_seq;
        let hop = self.hop(stamp);
        let numbers = Numbers { payload_type, marker: false, seq, timestamp, ssrc };
        let header_bytes = write_header(out, numbers, hop, self.ids, &self.ids.no_elements());
        out[start] |= HAS_PADDING;
        out.extend_from_slice(&padding[..length]);
        self.resend_seq += 1;
        session.protect_rtp(out, start, header_bytes, ssrc, seq).inspect_err(|_| out.truncate(start)).is_ok()
    }

    fn write_resend(
        &mut self,
        stamp: Stamp,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        packet: &SentPacket,
    ) -> Result<(), SrtpError> {
        let ssrc = self.ssrcs.resend.ok_or(SrtpError)?;
        let numbers = Numbers {
            payload_type: packet.resend_type,
            marker: packet.marker,
            seq: self.resend_seq,
            timestamp: packet.timestamp,
            ssrc,
        };
        self.resend_seq += 1;
        let (payload, patch) = (&*packet.payload, packet.patch);
        let original_seq = Some(packet.seq);
        let parts = Parts { numbers, elements: &packet.elements, original_seq, payload, patch };
        self.put(self.hop(stamp), session, out, &parts)
    }

    /// Appends a packet exactly as it left before: all that its header said then is kept.
    fn write_same(
        &self,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        packet: &SentPacket,
    ) -> Result<(), SrtpError> {
        let numbers = Numbers {
            payload_type: packet.resend_type,
            marker: packet.marker,
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: self.ssrcs.media,
        };
        let hop = Hop {
            mid: packet.names_line.then_some(self.mid),
            send_time: packet.send_time,
            transport_seq: packet.transport_seq,
        };
        let (payload, patch) = (&*packet.payload, packet.patch);
        let parts = Parts { numbers, elements: &packet.elements, original_seq: None, payload, patch };
        self.put(hop, session, out, &parts)
    }

    /// What the peer's report says was lost since its last one, without the holes that came from the publisher: they say
    /// nothing of the path to this peer. Of the retransmissions it says nothing that counts.
    pub(super) fn losses(&mut self, block: ReportBlock) -> Losses {
        if block.ssrc != self.ssrcs.media {
            return Losses::default();
        }
        let (packets, octets) = std::mem::replace(&mut self.at_peer_report, (self.packets, self.octets));
        let sent = self.packets.wrapping_sub(packets);
        let before = self.highest_at_peer_report.replace(self.highest).unwrap_or(self.highest);
        let holes = u32::try_from((self.highest - before).saturating_sub(sent.into())).unwrap_or(u32::MAX);
        let (total, holes) = (f64::from(sent), f64::from(holes));
        let missing = f64::from(block.fraction_lost) / 256.0 * (total + holes);
        let lost = (missing - holes).clamp(0.0, total);
        let bits = f64::from(self.octets.wrapping_sub(octets)) * 8.0;
        Losses { lost, total, delivered_bits: (1.0 - lost / total.max(1.0)) * bits }
    }

    /// The peer says how the stream arrives. Gives the round-trip time when it can be told.
    pub(super) fn note_report(&mut self, now: Instant, block: ReportBlock) -> Option<Duration> {
        if block.ssrc == self.ssrcs.media {
            self.is_known = true;
            self.reception.note_report(block);
            if let Some(playout) = &mut self.playout {
                let jitter = Duration::from_secs(block.jitter.into()) / self.clock_rate_hz.max(1);
                playout.note_report(now, block.highest_seq, jitter);
            }
        }
        if block.last_report == 0 {
            return None;
        }
        let since = ntp::middle(self.time_of_day.ntp_at(now)).wrapping_sub(block.last_report);
        let round_trip = (Duration::from_secs(u64::from(since)) / 65_536).checked_sub(block.delay)?;
        self.history.note_round_trip(round_trip);
        Some(round_trip)
    }

    /// How it has arrived since the last call.
    pub(super) fn take_received(&mut self) -> Received {
        self.reception.take()
    }

    /// When the next report is due.
    pub(super) fn report_due(&self) -> Option<Instant> {
        self.report_due
    }

    /// The report that is due. A stream that has fallen silent makes none until it speaks again.
    pub(super) fn take_report(&mut self, now: Instant) -> Option<SenderReport> {
        self.report_due.take_if(|due| *due <= now)?;
        if self.packets == self.packets_at_report {
            self.history.shrink();
            return None;
        }
        let (timestamp, captured_at) = self.last?;
        self.packets_at_report = self.packets;
        self.reports += 1;
        let interval = if self.reports <= EARLY_REPORTS { EARLY_REPORT_INTERVAL } else { REPORT_INTERVAL };
        self.report_due = Some(now + interval);
        let elapsed = now.saturating_duration_since(captured_at);
        #[expect(clippy::cast_possible_truncation, reason = "an RTP timestamp wraps at 32 bits")]
        let ticks = (elapsed.as_nanos() * u128::from(self.clock_rate_hz) / 1_000_000_000) as u32;
        Some(SenderReport {
            ssrc: self.ssrcs.media,
            ntp_time: self.time_of_day.ntp_at(now),
            rtp_timestamp: timestamp.wrapping_add(ticks),
            packets: self.packets,
            octets: self.octets,
        })
    }
}

#[cfg(test)]
mod tests;
