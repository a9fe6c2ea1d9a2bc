//! What a transport reported while it ran: turned into events, packets to fan out, or work for other transports.

use std::time::Instant;

use super::Shard;
use crate::demux::TransportIndex;
use crate::event::{Event, TransportFailure};
use crate::transport::Signal;

impl Shard {
    /// Deals with everything that transports have just reported, in order.
    pub(super) fn handle_signals(&mut self, now: Instant) {
        while !self.signals.is_empty() {
            let mut signals = std::mem::take(&mut self.signals);
            for (index, signal) in signals.drain(..) {
                self.handle_signal(now, index, signal);
            }
            if self.signals.is_empty() {
                self.signals = signals; // the allocation serves again
            }
        }
    }

    fn handle_signal(&mut self, now: Instant, index: TransportIndex, signal: Signal) {
        let Some(transport) = self.transports.get(index) else { return };
        let id = transport.id;
        match signal {
            Signal::Rtp(packet) => self.take_in(now, index, packet),
            Signal::KeyFrameWanted { mid } => self.pass_on_key_frame_request(now, index, mid),
            Signal::AudioLost { mid, fraction_lost } => self.note_lost_audio(now, index, mid, fraction_lost),
            Signal::SenderReport { mid, rid, received_at, ntp_time, rtp_timestamp } => {
                let report = super::media::Report { mid, rid, received_at, ntp_time, rtp_timestamp };
                self.take_in_report(index, &report);
            }
            Signal::RoundTrip { mid, rtt } => self.note_round_trip(index, mid, rtt),
            Signal::RateEstimated(estimate) => {
                self.counters.rate_changes += 1;
                self.counters.congestions += u64::from(estimate.is_congested);
            }
            Signal::Data { channel, payload } => self.take_in_data(now, index, channel, &payload),
            Signal::Connected { tcp } => {
                self.events.push_back(Event::TransportConnected { transport: id, tcp });
                self.request_first_key_frames(now, index);
            }
            Signal::Failed(failure) => self.fail_transport(now, index, failure),
            Signal::Stuck => {
                let failure = TransportFailure::Fault;
                self.events.push_back(Event::TransportFailed { transport: id, failure });
                self.close_transport(now, index);
                self.count_tables();
            }
            Signal::Offer(offer) => self.events.push_back(Event::Offer {
                transport: id,
                request: offer.request,
                sdp: offer.sdp,
                mid_to_track: offer.mid_to_track,
            }),
            Signal::MediaSectionsRequired { audio, video } => {
                self.events.push_back(Event::MediaSectionsRequired {
                    transport: id,
                    audio: u32::try_from(audio).unwrap_or(u32::MAX),
                    video: u32::try_from(video).unwrap_or(u32::MAX),
                });
            }
        }
    }
}
