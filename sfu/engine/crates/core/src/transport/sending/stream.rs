//! One stream of ours: an SSRC with its retransmissions, its numbers for reports, and what it has sent lately.
//!
//! Writes whole datagrams to the end of the buffer in which they leave: the payload is copied once and encrypted in
//! place, nothing is allocated. Which packets, with which numbers, is the fan-out's decision.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::media::Mid;
use str0m::rtp::ExtensionValues;

use super::header::{ExtensionIds, Hop, Numbers, write_header};
use super::history::{History, SentPacket};
use super::ntp::{self, TimeOfDay};
use super::patch::Patch;
use super::playout::{PlayoutDelay, PlayoutLimits};
use super::reception::{Received, Reception};
use super::srtp::{SrtpError, SrtpSession};
use crate::rtcp::{ReportBlock, SenderReport};

/// Reports come that often while a stream is young: receivers need two to play sound and picture together …
const EARLY_REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// … so many …
const EARLY_REPORTS: u32 = 5;
/// … and then that often.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes of the original sequence number before a retransmitted payload (RFC 4588 §4).
const OSN_BYTES: usize = 2;

/// A packet as one subscriber gets it.
#[derive(Debug)]
pub(crate) struct OutgoingPacket<'a> {
    pub(crate) payload_type: u8,
    /// Payload type of its retransmission; `None`: it is sent once.
    pub(crate) resend_type: Option<u8>,
    pub(crate) marker: bool,
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

/// What a stream needs to begin.
#[derive(Debug)]
pub(super) struct StreamConfig {
    pub(super) ssrcs: Ssrcs,
    pub(super) mid: Mid,
    pub(super) cname: Box<str>,
    pub(super) ids: ExtensionIds,
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
    pub(super) cname: Box<str>,
    ids: ExtensionIds,
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
    resend_seq: u64,
    playout: Option<PlayoutDelay>,
    history: History,
    reception: Reception,
}

impl SendStream {
    pub(super) fn new(now: Instant, config: StreamConfig) -> Self {
        Self {
            ssrcs: config.ssrcs,
            mid: config.mid,
            cname: config.cname,
            ids: config.ids,
            clock_rate_hz: config.clock_rate_hz,
            time_of_day: config.time_of_day,
            is_known: false,
            packets: 0,
            octets: 0,
            last: None,
            report_due: None,
            reports: 0,
            packets_at_report: 0,
            resend_seq: u64::from(config.first_resend_seq),
            playout: config.playout.map(|limits| PlayoutDelay::new(now, limits)),
            history: History::new(now, config.history_packets),
            reception: Reception::default(),
        }
    }

    /// Whether its packets may carry the dependency descriptor.
    pub(super) fn takes_descriptors(&self) -> bool {
        self.ids.takes_descriptors()
    }

    /// Another rate of the RTP clock, when the codec turned out to be another.
    pub(super) fn set_clock_rate_hz(&mut self, clock_rate_hz: u32) {
        self.clock_rate_hz = clock_rate_hz;
    }

    fn hop(&self, send_time: u32) -> Hop {
        Hop { mid: (!self.is_known).then_some(self.mid), send_time }
    }

    /// Appends a packet to `out`.
    ///
    /// # Errors
    /// [`SrtpError`]: `out` is as it was.
    pub(super) fn write(
        &mut self,
        now: Instant,
        send_time: u32,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        packet: &OutgoingPacket<'_>,
    ) -> Result<(), SrtpError> {
        let playout_delay = self.playout.as_mut().and_then(|delay| delay.value_for(packet.seq));
        let elements = self.ids.elements(packet.values, playout_delay, packet.descriptor);
        let numbers = Numbers {
            payload_type: packet.payload_type,
            marker: packet.marker,
            seq: packet.seq,
            timestamp: packet.timestamp,
            ssrc: self.ssrcs.media,
        };
        let start = out.len();
        let header_bytes = write_header(out, numbers, self.hop(send_time), self.ids, &elements);
        out.extend_from_slice(packet.payload);
        packet.patch.apply(&mut out[start + header_bytes..]);
        if let Err(error) = session.protect_rtp(out, start, header_bytes, self.ssrcs.media, packet.seq) {
            out.truncate(start);
            return Err(error);
        }
        self.count(now, packet);
        if let Some(resend_type) = packet.resend_type {
            self.history.keep(SentPacket {
                seq: packet.seq,
                timestamp: packet.timestamp,
                resend_type,
                marker: packet.marker,
                payload: Arc::clone(packet.payload),
                patch: packet.patch,
                elements,
                sent_at: now,
            });
        }
        Ok(())
    }

    #[expect(clippy::cast_possible_truncation, reason = "both counts wrap at 32 bits (RFC 3550 §6.4.1)")]
    fn count(&mut self, now: Instant, packet: &OutgoingPacket<'_>) {
        self.reception.note_sent(packet.seq);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(packet.payload.len() as u32);
        self.last = Some((packet.timestamp, packet.captured_at));
        self.report_due.get_or_insert(now);
    }

    /// Appends a packet again that the peer misses. False: it is gone, or may not be sent again now.
    pub(super) fn write_again(
        &mut self,
        now: Instant,
        session: &SrtpSession,
        out: &mut Vec<u8>,
        seq: u16,
    ) -> bool {
        let Some(ssrc) = self.ssrcs.resend else { return false };
        let hop = self.hop(self.time_of_day.send_time(now));
        let Some(packet) = self.history.take_for_resend(now, seq) else { return false };
        let resend_seq = self.resend_seq;
        let numbers = Numbers {
            payload_type: packet.resend_type,
            marker: packet.marker,
            seq: resend_seq,
            timestamp: packet.timestamp,
            ssrc,
        };
        let start = out.len();
        let header_bytes = write_header(out, numbers, hop, self.ids, &packet.elements);
        out.extend_from_slice(&packet.seq.to_be_bytes()[8 - OSN_BYTES..]);
        out.extend_from_slice(&packet.payload);
        packet.patch.apply(&mut out[start + header_bytes + OSN_BYTES..]);
        self.resend_seq += 1;
        let written = session.protect_rtp(out, start, header_bytes, ssrc, resend_seq);
        if written.is_err() {
            out.truncate(start);
        }
        written.is_ok()
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
