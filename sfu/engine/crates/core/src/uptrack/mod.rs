//! Publisher side of the packet path: which streams a publication has, which are alive, when to ask for a key frame,
//! how loud it is, how its timestamps relate to the wall clock. Never sees a down track or a transport.

mod arrivals;
mod clock;
mod dependencies;
mod key_frames;
mod level;
mod rates;
mod reception;
mod redundancy;

use std::time::{Duration, Instant, SystemTime};

pub use arrivals::Arrived;
pub use clock::WallClock;
pub use key_frames::PliThrottle;
pub use level::AudioWindow;
pub use reception::Reception;
pub use redundancy::{Arrival, Recovered, Recovery, Redundancy};

use crate::layers::{MAX_STREAMS, StreamIndex, StreamSet};
use crate::rtp::dependency::{Layer, PacketDependency};
use crate::rtp::seq::{low_32_bits, timestamp_delta};
use arrivals::Arrivals;
use dependencies::Dependencies;
use key_frames::KeyFrameRequests;
use rates::LayerRates;

/// A stream that is silent for longer is dead, if others of its track go on meanwhile.
const LIVENESS: Duration = Duration::from_secs(1);
/// Slices of time by which "go on meanwhile" is measured, and how many it takes. A still picture is sent about once a
/// second on every stream: that must not make them take turns in dying.
const SLICE: Duration = Duration::from_millis(100);
const SLICES_TO_DIE: u64 = 5;
/// RTP header with extensions, and SRTP's tag.
const WRAPPING_BYTES: usize = 40;
/// Bounds of the interval between key-frame requests (`protocol.md` §4.3).
const MIN_REPEAT: Duration = Duration::from_millis(200);
const MAX_REPEAT: Duration = Duration::from_secs(1);

/// Settings of an up track.
#[derive(Debug, Clone, Copy)]
pub struct UpTrackConfig {
    /// RTP clock rate in Hz.
    pub clock_rate_hz: u32,
    /// Least time between two key-frame requests for one stream.
    pub pli_throttle: PliThrottle,
}

/// An NTP time and the RTP timestamp of the same moment.
#[derive(Debug, Clone, Copy)]
struct SenderReport {
    ntp_time: SystemTime,
    rtp_timestamp: u32,
}

#[derive(Debug, Default)]
struct Stream {
    rid: Option<Box<str>>,
    last_packet: Option<Instant>,
    last_slice: u64,
    key_frames: KeyFrameRequests,
    report: Option<SenderReport>,
    dependencies: Dependencies,
}

/// Media arriving for one publication: its streams and what is known of them.
#[derive(Debug)]
pub struct UpTrack {
    config: UpTrackConfig,
    streams: [Option<Stream>; MAX_STREAMS as usize],
    rtt: Duration,
    /// Slices of time in which any stream sent.
    slices: u64,
    slice_began: Option<Instant>,
    rates: LayerRates,
    arrivals: Arrivals,
}

impl UpTrack {
    /// An up track without streams.
    #[must_use]
    pub fn new(config: UpTrackConfig) -> Self {
        Self {
            config,
            streams: Default::default(),
            rtt: Duration::ZERO,
            slices: 0,
            slice_began: None,
            rates: LayerRates::default(),
            arrivals: Arrivals::default(),
        }
    }

    /// Index for a restriction id, in spatial order: `q` `h` `f` and `2` `1` `0` are 0, 1, 2; `None` (a single
    /// encoding) is 0; other ids get the next free index in the order of their arrival. Same rid, same index.
    /// `None` when there is no room for another stream.
    pub fn stream_for(&mut self, rid: Option<&str>) -> Option<StreamIndex> {
        let is_same =
            |stream: &Option<Stream>| stream.as_ref().is_some_and(|stream| stream.rid.as_deref() == rid);
        let index = self
            .streams
            .iter()
            .position(is_same)
            .or_else(|| spatial_index(rid).filter(|index| self.streams[*index].is_none()))
            .or_else(|| self.streams.iter().position(Option::is_none))?;
        self.streams[index].get_or_insert_with(|| Stream { rid: rid.map(Into::into), ..Stream::default() });
        u8::try_from(index).ok().map(StreamIndex)
    }

    /// Notes a media packet (padding-only packets do not count) of a stream. True: the stream was silent for so long
    /// that it may have counted as dead, or is new.
    pub fn observe(&mut self, now: Instant, stream: StreamIndex, starts_key_frame: bool) -> bool {
        if self.slice_began.is_none_or(|began| now >= began + SLICE) {
            self.slice_began = Some(now);
            self.slices += 1;
        }
        let slices = self.slices;
        let Some(stream) = self.stream_mut(stream) else { return false };
        let before = stream.last_packet.replace(now);
        stream.last_slice = slices;
        stream.key_frames.observe(now, starts_key_frame);
        before.is_none_or(|before| now >= before + LIVENESS)
    }

    /// Counts the payload of a media packet for the rate of its layer; what is wrapped round it is added.
    pub fn count(&mut self, now: Instant, stream: StreamIndex, layer: Layer, bytes: usize) {
        self.rates.observe(now, stream, layer, bytes + WRAPPING_BYTES);
        self.arrivals.note_layer(stream.0.max(layer.spatial));
    }

    /// Counts a picture of a layer, whose first packet [`Self::count`] has counted.
    pub fn count_picture(&mut self, stream: StreamIndex, layer: Layer) {
        self.rates.observe_picture(stream, layer);
    }

    /// Notes any packet of a stream by its extended sequence number, be it forwarded or not.
    pub fn note_arrival(&mut self, stream: StreamIndex, seq: u64) {
        self.arrivals.note(stream, seq);
    }

    /// What has arrived since the last call.
    pub fn take_arrivals(&mut self) -> Arrived {
        self.arrivals.take()
    }

    /// Whether all that has come so far is one stream: spatial layers are inside it, each needs those below.
    #[must_use]
    pub fn has_one_stream(&self) -> bool {
        self.streams.iter().flatten().count() == 1
    }

    /// Bits per second of one spatial layer (a stream, or one inside it) alone, with its temporal layers up to this
    /// one, over the last seconds, headers counted; 0 when it was never sent, or nothing is.
    #[must_use]
    pub fn rate_bps(&self, now: Instant, layer: Layer) -> u32 {
        self.rates.of(now, layer)
    }

    /// Pictures per 1,000 seconds of one spatial layer (a stream, or one inside it), with its temporal layers up to this
    /// one, over the last seconds; 0 when that is not known (yet), nothing is sent, or its packets tell no layers.
    #[must_use]
    pub fn pictures_per_1000_s(&self, now: Instant, layer: Layer) -> u32 {
        self.rates.pictures_of(now, layer)
    }

    /// Streams that are being sent. One is dead when nothing of it came for a second although others went on.
    #[must_use]
    pub fn live_streams(&self, now: Instant) -> StreamSet {
        let is_live = |stream: &Stream| {
            let is_recent = stream.last_packet.is_some_and(|last| now < last + LIVENESS);
            is_recent || (stream.last_packet.is_some() && self.slices - stream.last_slice < SLICES_TO_DIE)
        };
        self.indexed().filter(|(_, stream)| is_live(stream)).map(|(index, _)| index).collect()
    }

    /// Somebody needs a key frame of a stream. True: send a request upstream now. False: one is under way or the
    /// last is too recent; [`Self::poll_key_frame_request`] gives it later if the key frame does not come.
    pub fn request_key_frame(&mut self, now: Instant, stream: StreamIndex) -> bool {
        let interval = self.interval(stream);
        self.stream_mut(stream).is_some_and(|stream| stream.key_frames.request(now, interval))
    }

    /// Among the streams below one that may not be asked for a key frame now, the one that is to give the first picture:
    /// the smallest that has one under way or may be asked, else the smallest of all, which is throttled least.
    #[must_use]
    pub fn first_picture_below(
        &self,
        now: Instant,
        wanted: StreamIndex,
        live: StreamSet,
    ) -> Option<StreamIndex> {
        let is_soon = |index: StreamIndex| {
            self.stream(index).is_some_and(|stream| stream.key_frames.is_soon(now, self.interval(index)))
        };
        if is_soon(wanted) {
            return None;
        }
        let smaller = || live.iter().filter(|stream| *stream < wanted);
        smaller().find(|stream| is_soon(*stream)).or_else(|| smaller().next())
    }

    /// Next stream for which a request is due (again); call until `None`.
    pub fn poll_key_frame_request(&mut self, now: Instant) -> Option<StreamIndex> {
        (0..MAX_STREAMS).map(StreamIndex).find(|index| {
            let interval = self.interval(*index);
            self.stream_mut(*index).is_some_and(|stream| stream.key_frames.poll(now, interval))
        })
    }

    /// When [`Self::poll_key_frame_request`] should be called next.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.indexed().filter_map(|(index, stream)| stream.key_frames.due(self.interval(index))).min()
    }

    /// Round-trip time to the publisher; requests repeat every clamp(2 × RTT, 200 ms, 1 s), but not more often than
    /// the throttle allows.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// Takes in a sender report: NTP time and RTP timestamp of the same moment.
    pub fn handle_sender_report(&mut self, stream: StreamIndex, ntp_time: SystemTime, rtp_timestamp: u32) {
        if let Some(stream) = self.stream_mut(stream) {
            stream.report = Some(SenderReport { ntp_time, rtp_timestamp });
        }
    }

    /// A stream began anew under another SSRC: what its sender reports and descriptors said is void.
    pub fn restart_stream(&mut self, stream: StreamIndex) {
        if let Some(stream) = self.stream_mut(stream) {
            stream.report = None;
            stream.dependencies.forget();
        }
        self.arrivals.restart(stream);
    }

    /// Reads the dependency descriptor of a packet; `None` when it does not parse, or its structure is not known (yet).
    pub fn read_dependency(&mut self, stream: StreamIndex, bytes: &[u8]) -> Option<PacketDependency> {
        self.stream_mut(stream)?.dependencies.read(bytes)
    }

    /// The codec is known now, and with it the clock rate.
    pub const fn set_clock_rate_hz(&mut self, clock_rate_hz: u32) {
        self.config.clock_rate_hz = clock_rate_hz;
    }

    /// The clock rate of its timestamps, as far as it is known.
    #[must_use]
    pub const fn clock_rate_hz(&self) -> u32 {
        self.config.clock_rate_hz
    }

    /// A timestamp of a stream on a timeline that all streams of the track share; `None` until the stream has a
    /// sender report. Only differences mean something; wraps like a timestamp.
    #[must_use]
    pub fn reference_timestamp(&self, stream: StreamIndex, timestamp: u32) -> Option<u32> {
        let report = self.stream(stream)?.report?;
        let since_epoch = report.ntp_time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let ticks = since_epoch.as_nanos() * u128::from(self.config.clock_rate_hz) / 1_000_000_000;
        Some(low_32_bits(ticks).wrapping_add(timestamp.wrapping_sub(report.rtp_timestamp)))
    }

    /// Publisher's NTP time of a timestamp, by the stream's last sender report.
    #[must_use]
    pub fn ntp_time(&self, stream: StreamIndex, timestamp: u32) -> Option<SystemTime> {
        let report = self.stream(stream)?.report?;
        let delta = timestamp_delta(report.rtp_timestamp, timestamp);
        let nanos =
            u64::from(delta.unsigned_abs()) * 1_000_000_000 / u64::from(self.config.clock_rate_hz.max(1));
        let distance = Duration::from_nanos(nanos);
        if delta < 0 { report.ntp_time.checked_sub(distance) } else { report.ntp_time.checked_add(distance) }
    }

    fn interval(&self, stream: StreamIndex) -> Duration {
        (self.rtt * 2).clamp(MIN_REPEAT, MAX_REPEAT).max(self.config.pli_throttle.of(stream))
    }

    fn stream(&self, index: StreamIndex) -> Option<&Stream> {
        self.streams.get(usize::from(index.0))?.as_ref()
    }

    fn stream_mut(&mut self, index: StreamIndex) -> Option<&mut Stream> {
        self.streams.get_mut(usize::from(index.0))?.as_mut()
    }

    fn indexed(&self) -> impl Iterator<Item = (StreamIndex, &Stream)> {
        (0..MAX_STREAMS).map(StreamIndex).filter_map(|index| Some((index, self.stream(index)?)))
    }
}

/// Where a well-known restriction id belongs (`protocol.md` §4.2).
fn spatial_index(rid: Option<&str>) -> Option<usize> {
    match rid {
        None | Some("q" | "2") => Some(0),
        Some("h" | "1") => Some(1),
        Some("f" | "0") => Some(2),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn track() -> UpTrack {
        UpTrack::new(UpTrackConfig { clock_rate_hz: 90_000, pli_throttle: PliThrottle::default() })
    }

    #[test]
    fn streams_are_in_spatial_order_whatever_comes_first() {
        for (rids, expected) in [
            (&[Some("f"), Some("q"), Some("h"), Some("q")][..], &[2, 0, 1, 0][..]),
            (&[Some("0"), Some("1"), Some("2")], &[2, 1, 0]),
            (&[None, None], &[0, 0]),
            (&[Some("low"), Some("high"), Some("low")], &[0, 1, 0]),
            (&[None, Some("q")], &[0, 1]),
        ] {
            let mut track = track();
            let indices: Vec<u8> = rids.iter().map(|rid| track.stream_for(*rid).unwrap().0).collect();
            assert_eq!(indices, expected, "{rids:?}");
        }
    }

    #[test]
    fn there_is_an_end_to_streams() {
        let mut track = track();
        let indices: Vec<_> = (0..9).map(|index| track.stream_for(Some(&format!("s{index}")))).collect();
        assert_eq!(indices[7], Some(StreamIndex(7)));
        assert_eq!(indices[8], None);
    }

    #[test]
    fn a_stream_dies_when_others_go_on() {
        let mut track = track();
        let start = Instant::now();
        let (low, high) = (track.stream_for(Some("q")).unwrap(), track.stream_for(Some("f")).unwrap());
        assert!(track.live_streams(start).is_empty());
        for frame in 0..60 {
            let now = start + 33 * MS * frame;
            track.observe(now, low, false);
            if frame < 20 {
                track.observe(now, high, false);
            }
            let is_high_live = track.live_streams(now).contains(high);
            assert_eq!(is_high_live, now < start + 33 * MS * 19 + LIVENESS, "frame {frame}");
        }
    }

    #[test]
    fn a_still_picture_kills_nothing() {
        let mut track = track();
        let start = Instant::now();
        let (low, high) = (track.stream_for(Some("q")).unwrap(), track.stream_for(Some("h")).unwrap());
        for second in 0..10 {
            for (index, stream) in [(0, low), (1, high)] {
                track.observe(start + 1200 * MS * second + 5 * MS * index, stream, false);
                assert!(second == 0 || track.live_streams(start + 1200 * MS * second).contains(high));
            }
        }
        assert!(track.live_streams(start + 3_600_000 * MS).contains(high), "muted is not dead");
    }

    #[test]
    fn requests_repeat_by_round_trip_time_and_throttle() {
        for (rtt, throttle, expected) in [(10, 0, 200), (10, 500, 500), (300, 500, 600), (2000, 500, 1000)] {
            let mut track = UpTrack::new(UpTrackConfig {
                clock_rate_hz: 90_000,
                pli_throttle: PliThrottle::even(throttle * MS),
            });
            track.set_rtt(rtt * MS);
            let stream = track.stream_for(None).unwrap();
            let now = Instant::now();
            track.observe(now, stream, false);
            assert!(track.request_key_frame(now, stream));
            assert_eq!(track.next_timeout(), Some(now + expected * MS));
            assert_eq!(track.poll_key_frame_request(now + (expected - 1) * MS), None);
            assert_eq!(track.poll_key_frame_request(now + expected * MS), Some(stream));
            assert_eq!(track.poll_key_frame_request(now + expected * MS), None);
            track.observe(now + expected * MS, stream, true);
            assert_eq!(track.next_timeout(), None);
        }
    }

    #[test]
    fn large_pictures_are_asked_for_more_seldom() {
        let mut track = track();
        let now = Instant::now();
        for (rid, throttle) in [("q", 500), ("h", 1_000), ("f", 1_000)] {
            let stream = track.stream_for(Some(rid)).unwrap();
            track.observe(now, stream, false);
            assert!(track.request_key_frame(now, stream));
            track.observe(now + 50 * MS, stream, true);
            assert!(!track.request_key_frame(now + (throttle - 1) * MS, stream), "{rid}");
            assert!(track.request_key_frame(now + throttle * MS, stream), "{rid}");
            track.observe(now + throttle * MS, stream, true);
        }
    }

    #[test]
    fn streams_without_packets_or_of_no_track_are_harmless() {
        let mut track = track();
        track.observe(Instant::now(), StreamIndex(9), true);
        assert!(!track.request_key_frame(Instant::now(), StreamIndex(3)));
        assert_eq!(track.reference_timestamp(StreamIndex(0), 1), None);
        assert_eq!(track.ntp_time(StreamIndex(200), 1), None);
    }

    #[test]
    fn reports_align_streams() {
        let mut track = track();
        let (low, high) = (track.stream_for(Some("q")).unwrap(), track.stream_for(Some("f")).unwrap());
        let ntp = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        track.handle_sender_report(low, ntp, 1000);
        track.handle_sender_report(high, ntp + 200 * MS, 50);
        // 200 ms are 18000 ticks: low 19000 and high 50 are the same moment. The second report's stream wraps.
        let low_reference = track.reference_timestamp(low, 19_000).unwrap();
        assert_eq!(track.reference_timestamp(high, 50), Some(low_reference));
        assert_eq!(
            track.reference_timestamp(high, 50_u32.wrapping_sub(90)),
            Some(low_reference.wrapping_sub(90))
        );
        assert_eq!(track.ntp_time(low, 1900), Some(ntp + 10 * MS));
        assert_eq!(track.ntp_time(high, 50_u32.wrapping_sub(9000)), Some(ntp + 100 * MS));
    }
}
