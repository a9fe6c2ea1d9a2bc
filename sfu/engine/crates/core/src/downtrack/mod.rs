//! Subscriber side of the packet path: which layer, pass or drop, and with which numbers. One [`DownTrack`] per
//! subscription and negotiated SSRC. Never sees an up track or a transport; they meet in `room.rs`.
//!
//! Streams first, layers inside them second: the `selector` wants a stream, the `forwarder` begins it at a key frame,
//! the `filter` drops what lies above the limit inside it, the `munger` closes the numbers up.
//!
//! Per packet: [`DownTrack::handle`] with the facts of the packet and the set of live streams. The verdict says what
//! to write, or why not, and whether a stream should be asked for a key frame.

mod filter;
mod forwarder;
mod frames;
mod munger;
mod picture;
mod pictures;
mod selector;
mod targets;

use std::time::{Duration, Instant};

use crate::DropReason;
use crate::command::MediaKind;
use crate::layers::{StreamIndex, StreamSet};
use crate::rtp::Vp8Ids;
use crate::rtp::dependency::{DependencyRewrite, Layer, PacketDependency};
use filter::LayerFilter;
use forwarder::{Forwarder, Step};
pub use munger::Inserted;
use munger::Munger;
use selector::LayerSelector;

/// Layer of a packet as its payload descriptor tells it (VP8, VP9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerFacts {
    /// Layer of its frame.
    pub layer: Layer,
    /// First packet of its frame.
    pub starts_frame: bool,
    /// Last packet of its frame (VP9).
    pub ends_frame: bool,
    /// Its temporal layer may begin here: the frame needs none of that layer or above.
    pub is_sync: bool,
}

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
    /// Its layer inside the stream by the payload, where the codec says it.
    pub layer: Option<LayerFacts>,
    /// Its frame by the dependency descriptor; it has precedence.
    pub dependency: Option<PacketDependency>,
    /// Receivers need the dependency descriptor to tell spatial layers apart (AV1).
    pub needs_descriptor: bool,
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
    /// Last packet of its picture here: set the marker, whatever the publisher's says.
    pub ends_picture: bool,
    /// New numbers of its dependency descriptor; `None` when the packet has none.
    pub dependency: Option<DependencyRewrite>,
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
    /// The subscriber's line carries the dependency descriptor.
    pub takes_descriptors: bool,
}

/// Media leaving for one subscription on one SSRC. A new SSRC needs a new `DownTrack`.
#[derive(Debug)]
pub struct DownTrack {
    selector: LayerSelector,
    forwarder: Forwarder,
    filter: LayerFilter,
    munger: Munger,
}

impl DownTrack {
    /// Enabled, nothing sent yet, no limit on layers.
    #[must_use]
    pub fn new(config: DownTrackConfig) -> Self {
        Self {
            selector: LayerSelector::new(),
            forwarder: Forwarder::new(config.kind),
            filter: LayerFilter::new(config.takes_descriptors),
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
            Step::Pass => self.pass(now, packet),
            Step::Begin => {
                self.filter.begin();
                self.munger.begin(now, packet);
                self.pass(now, packet)
            }
            Step::Skip(reason) => {
                self.munger.skip(packet);
                Err(reason)
            }
            Step::Drop(reason) => Err(reason),
        };
        Verdict { outcome, key_frame_of: self.key_frame_for(target) }
    }

    /// A packet of the current stream, which may be of a layer that the subscriber does not get.
    fn pass(&mut self, now: Instant, packet: &Packet) -> Result<Rewrite, DropReason> {
        if !self.filter.admits(packet) {
            self.munger.skip(packet);
            return Err(DropReason::LayerNotSelected);
        }
        let mut rewrite = self.munger.rewrite(now, packet, self.filter.layer())?;
        rewrite.ends_picture = self.filter.ends_picture(packet);
        Ok(rewrite)
    }

    /// Switches forwarding on or off. Video begins again at a key frame; ask for [`Self::wanted_key_frame`] then.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.forwarder.set_enabled(enabled);
    }

    /// Pauses forwarding for want of rate, or ends that, as [`Self::set_enabled`] does.
    pub fn set_paused(&mut self, paused: bool) {
        self.forwarder.set_paused(paused);
    }

    /// Most that may be sent: streams count as spatial layers, and so do those inside a stream.
    pub fn set_max_layer(&mut self, limit: Layer) {
        self.selector.set_limit(StreamIndex(limit.spatial));
        self.filter.set_limit(limit);
    }

    /// Packets of the current stream were left out on purpose: numbers run on, video at a key frame.
    pub fn interrupt(&mut self) {
        self.forwarder.restart();
    }

    /// Another rate of the RTP clock, when the codec turned out to be another.
    pub fn set_clock_rate_hz(&mut self, clock_rate_hz: u32) {
        self.munger.set_clock_rate_hz(clock_rate_hz);
    }

    /// Numbers for a frame of the server's own, which lasts `frame` and follows what was sent; see [`Inserted`].
    /// `is_first`: of a run of such frames, which follow each other without a hole. `None`: nothing was sent before.
    pub fn insert(&mut self, now: Instant, frame: Duration, is_first: bool) -> Option<Inserted> {
        self.forwarder.restart(); // what comes next follows these, not the packet before them
        self.munger.insert(now, frame, is_first)
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
        self.key_frame_for(self.selector.target(live))
    }

    fn key_frame_for(&self, target: Option<StreamIndex>) -> Option<StreamIndex> {
        let is_stuck = target == self.forwarder.current() && self.filter.needs_key_frame();
        self.forwarder.wanted_key_frame(target).or(target.filter(|_| is_stuck))
    }

    /// The subscriber asked for a key frame (PLI or FIR): stream to pass that on to.
    #[must_use]
    pub fn key_frame_source(&self, live: StreamSet) -> Option<StreamIndex> {
        self.wanted_key_frame(live).or(self.current())
    }
}

/// Stream that a down track of this limit wants of these.
#[must_use]
pub fn target_within(limit: Layer, live: StreamSet) -> Option<StreamIndex> {
    let mut selector = LayerSelector::new();
    selector.set_limit(StreamIndex(limit.spatial));
    selector.target(live)
}

#[cfg(test)]
mod layer_tests;
#[cfg(test)]
mod tests;
