//! Subscriber side of the packet path: which layer, pass or drop, and with which numbers. One [`DownTrack`] per
//! subscription and negotiated SSRC. Never sees an up track or a transport; they meet in `room.rs`.
//!
//! Per packet: [`DownTrack::handle`] with the facts of the packet and the set of live streams. The verdict says what
//! to write, or why not, and whether a stream should be asked for a key frame.

mod forwarder;
mod munger;
mod picture;
mod selector;

use std::time::Instant;

use crate::DropReason;
use crate::command::MediaKind;
use crate::layers::{StreamIndex, StreamSet};
use crate::rtp::Vp8Ids;
use forwarder::{Forwarder, Step};
use munger::Munger;
use selector::LayerSelector;

/// Facts of one packet of the up track.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Stream it came on.
    pub stream: StreamIndex,
    /// Extended sequence number.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// `UpTrack::reference_timestamp`: aligns streams when switching.
    pub reference_timestamp: Option<u32>,
    /// First packet of a key frame; true for audio.
    pub starts_key_frame: bool,
    /// Empty payload: padding only.
    pub is_padding: bool,
    /// VP8 only.
    pub vp8: Option<Vp8Ids>,
}

/// Numbers for one packet to the subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewrite {
    /// Extended sequence number, starting above 0 and below 65536 with each new SSRC.
    pub seq: u64,
    /// RTP timestamp.
    pub timestamp: u32,
    /// VP8 picture id to patch in; `None` when the packet has none.
    pub picture_id: Option<u16>,
    /// VP8 TL0PICIDX to patch in; `None` when the packet has none.
    pub tl0_pic_idx: Option<u8>,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Send it so, or drop it.
    pub outcome: Result<Rewrite, DropReason>,
    /// Ask this stream for a key frame (`UpTrack::request_key_frame` throttles).
    pub key_frame_of: Option<StreamIndex>,
}

/// Settings of a down track.
#[derive(Debug, Clone, Copy)]
pub struct DownTrackConfig {
    /// Kind of media.
    pub kind: MediaKind,
    /// RTP clock rate in Hz.
    pub clock_rate_hz: u32,
    /// First sequence number (random); 0 is taken as 1.
    pub first_seq: u16,
}

/// Media leaving for one subscription on one SSRC. A new SSRC needs a new `DownTrack`.
#[derive(Debug)]
pub struct DownTrack {
    selector: LayerSelector,
    forwarder: Forwarder,
    munger: Munger,
}

impl DownTrack {
    /// Enabled, nothing sent yet, no limit on layers.
    #[must_use]
    pub fn new(config: DownTrackConfig) -> Self {
        Self {
            selector: LayerSelector::new(),
            forwarder: Forwarder::new(config.kind),
            munger: Munger::new(config.clock_rate_hz, config.first_seq),
        }
    }

    /// Judges one packet; `live` must already count it.
    pub fn handle(&mut self, now: Instant, packet: &Packet, live: StreamSet) -> Verdict {
        if self.forwarder.current() == Some(packet.stream) && self.munger.is_discontinuous(packet) {
            self.restart();
        }
        let target = self.selector.target(live);
        let outcome = match self.forwarder.judge(packet, target, live) {
            Step::Pass => self.munger.rewrite(now, packet),
            Step::Begin => {
                self.munger.begin(now, packet);
                self.munger.rewrite(now, packet)
            }
            Step::Skip(reason) => {
                self.munger.skip(packet);
                Err(reason)
            }
            Step::Drop(reason) => Err(reason),
        };
        Verdict { outcome, key_frame_of: self.forwarder.wanted_key_frame(target) }
    }

    /// Switches forwarding on or off. Video begins again at a key frame; ask for [`Self::wanted_key_frame`] then.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.forwarder.set_enabled(enabled);
    }

    /// Highest stream that may be sent.
    pub fn set_max_spatial(&mut self, limit: StreamIndex) {
        self.selector.set_limit(limit);
    }

    /// Packets of the current stream were left out on purpose: numbers run on, video at a key frame.
    pub fn interrupt(&mut self) {
        self.forwarder.restart();
    }

    /// The publisher's streams began anew (another SSRC for the same rid): numbers run on, video at a key frame.
    pub fn restart(&mut self) {
        self.forwarder.restart();
        self.munger.forget_streams();
    }

    /// Stream being forwarded.
    #[must_use]
    pub const fn current(&self) -> Option<StreamIndex> {
        self.forwarder.current()
    }

    /// Stream from which a key frame is needed now: when (re)starting or switching. `None` for audio, when disabled
    /// or when all is well. Ask after binding and enabling; `handle` says it itself afterwards.
    #[must_use]
    pub fn wanted_key_frame(&self, live: StreamSet) -> Option<StreamIndex> {
        self.forwarder.wanted_key_frame(self.selector.target(live))
    }

    /// The subscriber asked for a key frame (PLI or FIR): stream to pass that on to.
    #[must_use]
    pub fn key_frame_source(&self, live: StreamSet) -> Option<StreamIndex> {
        self.wanted_key_frame(live).or(self.current())
    }
}

#[cfg(test)]
mod tests;
