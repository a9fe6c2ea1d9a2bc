//! Publisher side of the packet path: which streams a publication has, which are alive, when to ask for a key frame,
//! how loud it is, how its timestamps relate to the wall clock. Never sees a down track or a transport.

mod clock;
mod key_frames;
mod level;

use std::time::{Duration, Instant, SystemTime};

pub use clock::WallClock;
pub use level::AudioWindow;

use crate::layers::{StreamIndex, StreamSet};

/// Settings of an up track.
#[derive(Debug, Clone, Copy)]
pub struct UpTrackConfig {
    /// RTP clock rate in Hz.
    pub clock_rate_hz: u32,
    /// Least time between two key-frame requests for one stream.
    pub pli_throttle: Duration,
}

/// Media arriving for one publication: its streams and what is known of them.
#[derive(Debug)]
pub struct UpTrack {
    config: UpTrackConfig,
}

impl UpTrack {
    /// An up track without streams.
    #[must_use]
    pub fn new(config: UpTrackConfig) -> Self {
        Self { config }
    }

    /// Index for a restriction id, in spatial order: `q` `h` `f` and `2` `1` `0` are 0, 1, 2; `None` (a single
    /// encoding) is 0; other ids get the next free index in the order of their arrival. Same rid, same index.
    /// `None` when there is no room for another stream.
    pub fn stream_for(&mut self, _rid: Option<&str>) -> Option<StreamIndex> {
        Some(StreamIndex(0))
    }

    /// Notes a media packet (padding-only packets do not count) of a stream.
    pub fn observe(&mut self, _now: Instant, _stream: StreamIndex, _starts_key_frame: bool) {}

    /// Streams of which packets arrived within the last second.
    #[must_use]
    pub fn live_streams(&self, _now: Instant) -> StreamSet {
        StreamSet::EMPTY
    }

    /// Somebody needs a key frame of a stream. True: send a request upstream now. False: one is under way or the
    /// last is too recent; [`Self::poll_key_frame_request`] gives it later if the key frame does not come.
    pub fn request_key_frame(&mut self, _now: Instant, _stream: StreamIndex) -> bool {
        false
    }

    /// Next stream for which a request is due (again); call until `None`.
    pub fn poll_key_frame_request(&mut self, _now: Instant) -> Option<StreamIndex> {
        None
    }

    /// When [`Self::poll_key_frame_request`] should be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Round-trip time to the publisher; requests repeat every clamp(2 × RTT, 200 ms, 1 s).
    pub fn set_rtt(&mut self, _rtt: Duration) {}

    /// Takes in a sender report: NTP time and RTP timestamp of the same moment.
    pub fn handle_sender_report(&mut self, _stream: StreamIndex, _ntp_time: SystemTime, _rtp_timestamp: u32) {}

    /// A timestamp of a stream on a timeline that all streams of the track share; `None` until the stream has a
    /// sender report. Only differences mean something; wraps like a timestamp.
    #[must_use]
    pub fn reference_timestamp(&self, _stream: StreamIndex, _timestamp: u32) -> Option<u32> {
        None
    }

    /// Publisher's NTP time of a timestamp, by the stream's last sender report.
    #[must_use]
    pub fn ntp_time(&self, _stream: StreamIndex, _timestamp: u32) -> Option<SystemTime> {
        None
    }
}
