//! Runs an association: datagrams and time in, datagrams and [`Signal`]s out. Never looks at another transport.

use std::time::{Duration, Instant, SystemTime};

use str0m::channel::ChannelId;
use str0m::media::{KeyframeRequestKind, Mid, Rid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Event, IceConnectionState, Input, Output};

use super::sending::Taken;
use super::transport_seq::Verdict;
use super::{
    ChannelUse, NegotiationError, OwnOffer, RESTART_GRACE, Transport, TransportFailure, attempt, guard,
};
use crate::command::TransportRole;
use crate::demux::{Demux, TransportIndex};
use crate::drop_reason::DropReason;
use crate::input::{Carrier, Datagram};
use crate::output::{Path, Transmits};
use crate::rate::RateEstimate;
use crate::stats::Counters;

/// Highest sequence number of a stream that is possible (RFC 3711 §3.3.1).
const MAX_SEQ: u64 = (1 << 48) - 1;
/// Rounds in which a closing association may say goodbye.
const CLOSE_ROUNDS: usize = 4;

/// What running a transport brought up, in order.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a packet is moved once; boxing it would allocate per packet")]
pub(crate) enum Signal {
    Connected {
        tcp: bool,
    },
    Failed(TransportFailure),
    /// It takes no more reliable data, or opens channels without end; the association itself is sound.
    Stuck,
    Rtp(RtpPacket),
    KeyFrameWanted {
        mid: Mid,
    },
    /// A subscriber has lost audio: that part of the packets on a line, in 256ths.
    AudioLost {
        mid: Mid,
        fraction_lost: u8,
    },
    SenderReport {
        mid: Mid,
        rid: Option<Rid>,
        received_at: Instant,
        ntp_time: SystemTime,
        rtp_timestamp: u32,
    },
    RoundTrip {
        mid: Mid,
        rtt: Duration,
    },
    /// What is known of the rate towards the peer has changed.
    RateEstimated(RateEstimate),
    Data {
        channel: ChannelId,
        payload: Vec<u8>,
    },
    Offer(OwnOffer),
    MediaSectionsRequired {
        audio: usize,
        video: usize,
    },
}

/// Where a run leaves its results.
pub(crate) struct Outlet<'a> {
    pub(crate) index: TransportIndex,
    pub(crate) transmits: &'a mut Transmits,
    pub(crate) signals: &'a mut Vec<(TransportIndex, Signal)>,
    pub(crate) demux: &'a mut Demux,
    pub(crate) counters: &'a mut Counters,
}

impl Outlet<'_> {
    pub(super) fn signal(&mut self, signal: Signal) {
        self.signals.push((self.index, signal));
    }
}

impl Transport {
    /// Takes in one datagram and runs.
    pub(crate) fn receive(&mut self, now: Instant, datagram: &Datagram<'_>, outlet: &mut Outlet<'_>) {
        if self.is_broken {
            return outlet.signal(Signal::Failed(TransportFailure::Fault));
        }
        let protocol = match datagram.carrier {
            Carrier::Udp => Protocol::Udp,
            Carrier::Tcp => Protocol::Tcp,
        };
        if is_rtcp(datagram.payload) {
            // Where nothing is published it is about nothing else.
            let is_all = self.role != TransportRole::Publisher && self.published.is_empty();
            match self.take_feedback(now, datagram.payload, outlet) {
                Taken::Refused => return,
                Taken::Whole if is_all => return,
                Taken::Whole | Taken::Unreadable => {}
            }
        }
        let admits = |ssrc: u32| self.sources.admits(now, ssrc);
        if !ssrc_of(datagram.payload).is_none_or(admits) {
            outlet.counters.count_drop(DropReason::UnknownStream);
            return;
        }
        let is_rtp = is_rtp(datagram.payload);
        let verdict = if is_rtp { self.extensions.check(now, datagram.payload) } else { Verdict::Fine(None) };
        let Verdict::Fine(number) = verdict else {
            outlet.counters.count_drop(DropReason::Rejected);
            return;
        };
        let receive = Receive::new(protocol, datagram.source, datagram.destination, datagram.payload);
        let Ok(receive) = receive else {
            outlet.counters.count_drop(DropReason::Rejected);
            return;
        };
        let rtc = &mut self.rtc;
        match guard(move || rtc.handle_input(Input::Receive(now, receive))) {
            Ok(accepted) => {
                if accepted.is_ok() {
                    self.heard = now;
                }
                if matches!(datagram.payload.first(), Some(0..=3)) {
                    self.sending.note_check(datagram.carrier, datagram.source, datagram.destination);
                }
                self.note_source(now, datagram.payload);
                let signals_before = outlet.signals.len();
                self.drain(now, outlet);
                if self.ask_for_path(now) {
                    self.drain(now, outlet);
                }
                let (channel, rtc) = (&mut self.track_channel, &mut self.rtc);
                attempt(&mut self.is_broken, || channel.look(now, rtc));
                let (channels, rtc) = (&mut self.channels, &mut self.rtc);
                let wrote = attempt(&mut self.is_broken, || channels.look(now, rtc, outlet.counters));
                if wrote == Some(true) {
                    self.drain(now, outlet);
                }
                let brought = &outlet.signals[signals_before..];
                let brought_rtp = brought.iter().any(|(_, signal)| matches!(signal, Signal::Rtp(_)));
                if let Some(number) = number {
                    self.extensions.note(number, brought_rtp);
                }
                if brought_rtp || brought.iter().any(|(_, signal)| matches!(signal, Signal::Data { .. })) {
                    self.proven = now;
                }
                // A datagram that the association does not like is the datagram's fault. Bad RTP it drops in silence.
                if accepted.is_err() || is_rtp && !brought_rtp {
                    outlet.counters.count_drop(DropReason::Rejected);
                }
            }
            Err(_) => outlet.signal(Signal::Failed(TransportFailure::Fault)),
        }
    }

    /// Notes the SSRC of a packet that the association keeps something for: it names a line, or is padding, which may
    /// come before its stream is known.
    fn note_source(&mut self, now: Instant, datagram: &[u8]) {
        let Some(ssrc) = ssrc_of(datagram).filter(|ssrc| !self.sources.knows(*ssrc)) else { return };
        let rtc = &mut self.rtc;
        let is_mapped = attempt(&mut self.is_broken, || rtc.direct_api().stream_rx(&ssrc.into()).is_some());
        if is_mapped == Some(true) || has_padding(datagram) {
            self.sources.note(now, ssrc);
        }
    }

    /// Lets time pass, sends what was written, does what was due.
    pub(crate) fn run(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        if self.is_broken {
            return outlet.signal(Signal::Failed(TransportFailure::Fault));
        }
        self.run_negotiation(now, outlet);
        self.channels.run(now, outlet.counters);
        self.copies.run(now, |path, datagram| {
            outlet.counters.datagrams_out += 1;
            outlet.counters.bytes_out += datagram.len() as u64;
            outlet.transmits.push(path, datagram);
        });
        let rtc = &mut self.rtc;
        match guard(move || rtc.handle_input(Input::Timeout(now))) {
            Ok(Ok(())) => {
                self.drain(now, outlet);
                self.run_sending(now, outlet);
            }
            Ok(Err(_)) | Err(_) => outlet.signal(Signal::Failed(TransportFailure::Fault)),
        }
        if self.lost_by().is_some_and(|deadline| now >= deadline) {
            outlet.signal(Signal::Failed(TransportFailure::IceTimeout));
        }
    }

    /// Sends what is due of what goes past the association, which is not run.
    pub(crate) fn run_sending(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        self.run_rate(now, outlet);
        self.send_reports(now, outlet);
    }

    fn run_negotiation(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        if self.asks_for_lines()
            && let Some((audio, video)) = self.requirement.poll(now, &self.lines)
        {
            outlet.signal(Signal::MediaSectionsRequired { audio, video });
        }
        match self.poll_offer(now) {
            Ok(Some(offer)) => {
                if let Some(ufrag) = &offer.ufrag {
                    outlet.demux.add_ufrag(outlet.index, ufrag);
                }
                outlet.signal(Signal::Offer(offer));
            }
            Ok(None) => {}
            Err(NegotiationError::Fault | _) => outlet.signal(Signal::Failed(TransportFailure::Fault)),
        }
    }

    /// Closes the association: its alerts leave with this call, nothing is waited for. It is of no use afterwards.
    pub(crate) fn close(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        if self.is_broken {
            return;
        }
        let signals_before = outlet.signals.len();
        let rtc = &mut self.rtc;
        if guard(move || rtc.close()).is_err() {
            return;
        }
        // Each layer's goodbye makes the next one's possible.
        for _ in 0..CLOSE_ROUNDS {
            self.drain(now, outlet);
            let rtc = &mut self.rtc;
            let ran = guard(move || rtc.handle_input(Input::Timeout(now)));
            if !matches!(ran, Ok(Ok(()))) || !self.rtc.is_alive() {
                break;
            }
        }
        outlet.signals.truncate(signals_before);
    }

    /// Polls until the association has nothing more to say before its next timeout.
    fn drain(&mut self, now: Instant, outlet: &mut Outlet<'_>) {
        loop {
            let rtc = &mut self.rtc;
            match guard(move || rtc.poll_output()) {
                Ok(Ok(Output::Timeout(at))) => {
                    self.rtc_timeout = at;
                    break;
                }
                Ok(Ok(Output::Transmit(transmit))) => self.send(now, &transmit, outlet),
                Ok(Ok(Output::Event(event))) => self.handle_event(now, event, outlet),
                Ok(Err(_)) => {
                    outlet.signal(Signal::Failed(TransportFailure::Dtls));
                    return;
                }
                Err(_) => {
                    outlet.signal(Signal::Failed(TransportFailure::Fault));
                    return;
                }
            }
        }
    }

    fn send(&mut self, now: Instant, transmit: &str0m::net::Transmit, outlet: &mut Outlet<'_>) {
        let carrier = if transmit.proto == Protocol::Udp { Carrier::Udp } else { Carrier::Tcp };
        let contents = &*transmit.contents;
        if let Some(0..=3) = contents.first() {
            let path = (carrier, transmit.destination);
            outlet.demux.observe_transmit(now, outlet.index, path, contents);
        } else {
            self.last_protocol = transmit.proto;
            self.sending.note_path(carrier, transmit.source, transmit.destination);
        }
        outlet.counters.datagrams_out += 1;
        outlet.counters.bytes_out += contents.len() as u64;
        let path = Path { carrier, source: transmit.source, destination: transmit.destination };
        outlet.transmits.push(path, contents);
        if carrier == Carrier::Udp {
            self.copies.note_sent(now, self.sending.own_loss(), path, contents);
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event, outlet: &mut Outlet<'_>) {
        match event {
            // What goes again may claim to lie before the first packet of its stream, that is before zero.
            Event::RtpPacket(packet) if *packet.seq_no > MAX_SEQ => {}
            Event::RtpPacket(packet) => outlet.signal(Signal::Rtp(packet)),
            Event::KeyframeRequest(request) => {
                match request.kind {
                    KeyframeRequestKind::Pli => outlet.counters.plis += 1,
                    KeyframeRequestKind::Fir => outlet.counters.firs += 1,
                }
                outlet.signal(Signal::KeyFrameWanted { mid: request.mid });
            }
            Event::SenderFeedback(feedback) => outlet.signal(Signal::SenderReport {
                mid: feedback.mid,
                rid: feedback.rid,
                received_at: feedback.received_at,
                ntp_time: feedback.sender_info.ntp_time,
                #[expect(clippy::cast_possible_truncation, reason = "an RTP timestamp has 32 bits")]
                rtp_timestamp: feedback.sender_info.rtp_time.numer() as u32,
            }),
            Event::Connected => {
                self.channels.connected(now, outlet.counters);
                self.note_connected(outlet);
            }
            Event::IceConnectionStateChange(state) => self.note_ice_state(now, state, outlet),
            Event::ChannelOpen(id, label) => self.note_channel(now, id, &label, outlet),
            Event::ChannelClose(id) => {
                self.channels.close(id);
                self.track_channel.close(id);
            }
            Event::ChannelData(data) => {
                outlet.signal(Signal::Data { channel: data.id, payload: data.data });
            }
            Event::ChannelBufferedAmountLow(_) => {
                let (channels, rtc) = (&mut self.channels, &mut self.rtc);
                attempt(&mut self.is_broken, || channels.resume(now, rtc, outlet.counters));
            }
            Event::MediaIngressStats(stats) => {
                if let Some(rtt) = stats.rtt {
                    outlet.signal(Signal::RoundTrip { mid: stats.mid, rtt });
                }
            }
            Event::Closed => outlet.signal(Signal::Failed(TransportFailure::ClosedByPeer)),
            _ => {}
        }
    }

    fn note_channel(&mut self, now: Instant, id: ChannelId, label: &str, outlet: &mut Outlet<'_>) {
        let (channels, rtc) = (&mut self.channels, &mut self.rtc);
        let opened = attempt(&mut self.is_broken, || channels.open(now, rtc, id, label, outlet.counters));
        if opened == Some(false) {
            outlet.signal(Signal::Stuck);
        }
        if self.channels.channel_use(id) == Some(ChannelUse::DataTrack) {
            self.track_channel.open(now, id);
        }
    }

    fn note_connected(&mut self, outlet: &mut Outlet<'_>) {
        self.is_connected = true;
        outlet.signal(Signal::Connected { tcp: self.last_protocol != Protocol::Udp });
    }

    fn note_ice_state(&mut self, now: Instant, state: IceConnectionState, outlet: &mut Outlet<'_>) {
        if !self.is_connected {
            return; // before the first connect nothing is lost: TCP candidates come late
        }
        match state {
            // Where a fifth is lost, so are four checks in a row once in a quarter of an hour.
            IceConnectionState::Disconnected => self.is_unchecked = true,
            IceConnectionState::Connected | IceConnectionState::Completed => {
                self.is_unchecked = false;
                if self.reconnect_by.take().is_some() {
                    self.note_connected(outlet);
                }
            }
            IceConnectionState::Checking => {
                self.reconnect_by.get_or_insert(now + RESTART_GRACE);
            }
            IceConnectionState::New => {}
        }
    }
}

/// SSRC of an RTP datagram (RFC 3550 §5.1).
fn ssrc_of(datagram: &[u8]) -> Option<u32> {
    let ssrc = datagram.get(8..)?.first_chunk().filter(|_| is_rtp(datagram))?;
    Some(u32::from_be_bytes(*ssrc))
}

/// Whether an RTP datagram says that it ends with padding (RFC 3550 §5.1).
fn has_padding(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0x20 != 0)
}

/// Whether a datagram is RTCP (RFC 5761 §4).
fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

/// Whether a datagram is RTP, not RTCP (RFC 5761 §4, RFC 7983 §7).
fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, ..] if !matches!(second & 0x7f, 64..=95))
}
