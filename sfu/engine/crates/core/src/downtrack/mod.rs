//! Subscriber side of the packet path: which layer, pass or drop, and with which numbers. One [`DownTrack`] per
//! subscription and negotiated SSRC. Never sees an up track or a transport; they meet in `room.rs`.
//!
//! Per packet: [`DownTrack::handle`] with the facts of the packet and the set of live streams. The verdict says what
//! to write, or why not, and whether a stream should be asked for a key frame.

mod forwarder;
mod munger;
mod selector;

use std::time::Instant;

use crate::DropReason;
use crate::command::MediaKind;
use crate::layers::{StreamIndex, StreamSet};
use crate::rtp::Vp8Ids;

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
    config: DownTrackConfig,
}

impl DownTrack {
    /// Enabled, nothing sent yet, no limit on layers.
    #[must_use]
    pub fn new(config: DownTrackConfig) -> Self {
        Self { config }
    }

    /// Judges one packet.
    pub fn handle(&mut self, _now: Instant, _packet: &Packet, _live: StreamSet) -> Verdict {
        Verdict { outcome: Err(DropReason::DownTrackDisabled), key_frame_of: None }
    }

    /// Switches forwarding on or off. Video begins again at a key frame; ask for [`Self::wanted_key_frame`] then.
    pub fn set_enabled(&mut self, _enabled: bool) {}

    /// Highest stream that may be sent.
    pub fn set_max_spatial(&mut self, _limit: StreamIndex) {}

    /// Stream being forwarded.
    #[must_use]
    pub fn current(&self) -> Option<StreamIndex> {
        None
    }

    /// Stream from which a key frame is needed now: when (re)starting or switching. `None` for audio, when disabled
    /// or when all is well. Ask after binding and enabling; `handle` says it itself afterwards.
    #[must_use]
    pub fn wanted_key_frame(&self, _live: StreamSet) -> Option<StreamIndex> {
        None
    }

    /// The subscriber asked for a key frame (PLI or FIR): stream to pass that on to.
    #[must_use]
    pub fn key_frame_source(&self, _live: StreamSet) -> Option<StreamIndex> {
        None
    }
}
