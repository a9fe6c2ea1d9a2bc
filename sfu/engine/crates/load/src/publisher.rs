//! What a publisher sends: RTP packets of the right sizes at the right times, and data messages. Their content is
//! noise behind valid codec headers; nobody decodes it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use str0m::format::Codec;
use str0m::media::{Mid, Pt};
use str0m::rtp::RtpWrite;

use crate::args::Arguments;
use crate::association::{Association, LOSSY, RELIABLE};
use crate::tally::time_mark;
use crate::wire::{AddTrackRequest, DataPacket, UserPacket};

/// VP8 payload descriptor (RFC 7741 §4.2, six bytes) and key frame header (RFC 6386 §9.1, ten bytes).
pub(crate) const VIDEO_MARK_OFFSET: usize = 16;

/// Audio payloads are not larger, video payloads are.
pub(crate) const LARGEST_AUDIO_BYTES: usize = 160;

const AUDIO_BYTES: usize = 120;
const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_CLOCK: u32 = 48_000;
const VIDEO_CLOCK: u32 = 90_000;
/// As encoders cut frames: below what fits into an Ethernet frame with all headers.
const LARGEST_VIDEO_BYTES: usize = 1150;

/// At most that far behind, a publisher sends what was due; beyond it skips.
const LARGEST_LAG: Duration = Duration::from_millis(200);

pub(crate) const VIDEO_TRACK: &str = "load-video";
pub(crate) const AUDIO_TRACK: &str = "load-audio";

/// The tracks that `arguments` ask each publisher for.
pub(crate) fn add_track_requests(arguments: &Arguments) -> Vec<AddTrackRequest> {
    let video = AddTrackRequest {
        cid: VIDEO_TRACK.to_owned(),
        name: VIDEO_TRACK.to_owned(),
        kind: 1,
        width: 1280,
        height: 720,
        source: 1,
        disable_red: false,
    };
    let audio = AddTrackRequest {
        cid: AUDIO_TRACK.to_owned(),
        name: AUDIO_TRACK.to_owned(),
        kind: 0,
        width: 0,
        height: 0,
        source: 2,
        disable_red: true,
    };
    [(arguments.video_bps > 0, video), (arguments.audio, audio)]
        .into_iter()
        .filter_map(|(wanted, request)| wanted.then_some(request))
        .collect()
}

/// All that one publisher sends.
pub(crate) struct Publisher {
    video: Option<VideoSource>,
    audio: Option<AudioSource>,
    data: Option<DataSource>,
}

/// When the next thing is due, an interval apart.
struct Beat {
    next: Option<Instant>,
    interval: Duration,
}

impl Beat {
    fn new(interval: Duration) -> Self {
        Self { next: None, interval }
    }

    /// Whether it is time; then the next time is set. The first call starts it.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = *self.next.get_or_insert(now);
        if now < due {
            return false;
        }
        let late = now.saturating_duration_since(due) > LARGEST_LAG;
        self.next = Some(if late { now } else { due } + self.interval);
        true
    }
}

struct VideoSource {
    beat: Beat,
    bytes_per_frame: usize,
    timestamp_step: u32,
    sequence: u64,
    timestamp: u32,
    picture: u16,
}

struct AudioSource {
    beat: Beat,
    sequence: u64,
    timestamp: u32,
}

struct DataSource {
    beat: Beat,
    label: &'static str,
    bytes: usize,
}

impl Publisher {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let video = (arguments.video_bps > 0).then(|| VideoSource {
            beat: Beat::new(Duration::from_secs(1) / arguments.fps),
            bytes_per_frame: usize::try_from(arguments.video_bps / 8 / u64::from(arguments.fps))
                .unwrap_or(usize::MAX),
            timestamp_step: VIDEO_CLOCK / arguments.fps,
            sequence: 1,
            timestamp: 0,
            picture: 0,
        });
        let audio = arguments.audio.then(AudioSource::new);
        let data = (arguments.data_rate > 0).then(|| DataSource {
            beat: Beat::new(Duration::from_secs(1) / arguments.data_rate),
            label: if arguments.data_lossy { LOSSY } else { RELIABLE },
            bytes: arguments.data_bytes,
        });
        Self { video, audio, data }
    }

    /// When the next thing is due; at once before the first.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let beats = [
            self.video.as_ref().map(|source| &source.beat),
            self.audio.as_ref().map(|source| &source.beat),
            self.data.as_ref().map(|source| &source.beat),
        ];
        beats.into_iter().flatten().map(|beat| beat.next.unwrap_or(now)).min()
    }

    /// Writes one video frame whatever the time.
    pub(crate) fn run_frame(&mut self, association: &mut Association, now: Instant) {
        let line = sending_line(association, VIDEO_TRACK, Codec::Vp8);
        if let (Some(video), Some((mid, pt))) = (&mut self.video, line) {
            video.write_frame(association, mid, pt, now);
        }
    }

    /// Writes what is due to the association; its caller runs it then.
    pub(crate) fn run(&mut self, association: &mut Association, now: Instant) {
        if let Some(video) = &mut self.video {
            video.run(association, now);
        }
        if let Some(audio) = &mut self.audio {
            audio.run(association, now);
        }
        if let Some(data) = &mut self.data {
            data.run(association, now);
        }
    }
}

impl VideoSource {
    fn run(&mut self, association: &mut Association, now: Instant) {
        let Some((mid, pt)) = sending_line(association, VIDEO_TRACK, Codec::Vp8) else { return };
        while self.beat.is_due(now) {
            self.write_frame(association, mid, pt, now);
        }
    }

    /// Writes the next frame: a key frame when it is the first or one was asked for.
    fn write_frame(&mut self, association: &mut Association, mid: Mid, pt: Pt, now: Instant) {
        let key_frame = association.take_key_frame_request() || self.picture == 0;
        let count = self.bytes_per_frame.div_ceil(LARGEST_VIDEO_BYTES).max(1);
        let bytes = (self.bytes_per_frame / count).max(LARGEST_AUDIO_BYTES + 1);
        self.picture = (self.picture + 1) & 0x7fff;
        self.timestamp = self.timestamp.wrapping_add(self.timestamp_step);
        for index in 0..count {
            let payload = self.payload(bytes, index == 0, key_frame, now);
            let packet = RtpWrite::new(pt, self.sequence.into(), self.timestamp, now, payload)
                .marker(index + 1 == count)
                .nackable(true);
            self.sequence += 1;
            if let Some(stream) = association.rtc().direct_api().stream_tx_by_mid(mid, None) {
                stream.write_rtp(packet);
            }
        }
    }

    fn payload(&self, bytes: usize, first: bool, key_frame: bool, now: Instant) -> Arc<[u8]> {
        let mut payload = vec![0x55; bytes];
        let [high, low] = self.picture.to_be_bytes();
        let start = if first { 0x10 } else { 0 };
        // X, S | I, L, T | 15-bit picture id | TL0PICIDX | TID 0
        payload[..6].copy_from_slice(&[0x80 | start, 0xe0, 0x80 | high, low, low, 0]);
        if first {
            // The frame tag's lowest bit is 0 in key frames; start code and 1280x720 follow.
            let inter = u8::from(!key_frame);
            payload[6..16].copy_from_slice(&[0x10 | inter, 0, 0, 0x9d, 0x01, 0x2a, 0x00, 0x05, 0xd0, 0x02]);
        }
        payload[VIDEO_MARK_OFFSET..VIDEO_MARK_OFFSET + 16].copy_from_slice(&time_mark(now));
        payload.into()
    }
}

impl AudioSource {
    fn new() -> Self {
        Self { beat: Beat::new(AUDIO_INTERVAL), sequence: 1, timestamp: 0 }
    }

    fn run(&mut self, association: &mut Association, now: Instant) {
        let Some((mid, pt)) = sending_line(association, AUDIO_TRACK, Codec::Opus) else { return };
        while self.beat.is_due(now) {
            self.write(association, mid, pt, now);
        }
    }

    fn write(&mut self, association: &mut Association, mid: Mid, pt: Pt, now: Instant) {
        self.timestamp = self.timestamp.wrapping_add(AUDIO_CLOCK / 50);
        let mut payload = vec![0x55; AUDIO_BYTES];
        payload[..16].copy_from_slice(&time_mark(now));
        let mut packet =
            RtpWrite::new(pt, self.sequence.into(), self.timestamp, now, Arc::<[u8]>::from(payload));
        packet = packet.ext_vals(str0m::rtp::ExtensionValues {
            audio_level: Some(-20),
            voice_activity: Some(true),
            ..Default::default()
        });
        self.sequence += 1;
        if let Some(stream) = association.rtc().direct_api().stream_tx_by_mid(mid, None) {
            stream.write_rtp(packet);
        }
    }
}

/// Many voices on one association, each a track of its own.
pub(crate) struct Voices {
    sources: Vec<(String, AudioSource)>,
}

impl Voices {
    pub(crate) fn new(tracks: usize) -> Self {
        let source = |number| (format!("{AUDIO_TRACK}-{number}"), AudioSource::new());
        Self { sources: (0..tracks).map(source).collect() }
    }

    pub(crate) fn tracks(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|(track, _)| track.as_str())
    }

    /// Writes one packet of each voice whatever the time.
    pub(crate) fn run_round(&mut self, association: &mut Association, now: Instant) {
        for (track, source) in &mut self.sources {
            if let Some((mid, pt)) = sending_line(association, track, Codec::Opus) {
                source.write(association, mid, pt, now);
            }
        }
    }
}

impl DataSource {
    fn run(&mut self, association: &mut Association, now: Instant) {
        while association.has_channel(self.label) && self.beat.is_due(now) {
            let mut payload = vec![0x55; self.bytes.max(16)];
            payload[..16].copy_from_slice(&time_mark(now));
            let packet = DataPacket { user: Some(UserPacket { payload }) };
            association.write_message(self.label, &packet.encode_to_vec());
        }
    }
}

/// Mid and payload type of a line on which we may send by now.
fn sending_line(association: &mut Association, track: &str, codec: Codec) -> Option<(Mid, Pt)> {
    let mid = association.mid_of(track)?;
    let rtc = association.rtc();
    let is_sending = rtc.media(mid)?.direction().is_sending();
    let pt = rtc.codec_config().find(|params| params.spec().codec == codec)?.pt();
    is_sending.then_some((mid, pt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_keeps_its_pace_and_skips_what_is_long_past() {
        let start = Instant::now();
        let mut beat = Beat::new(Duration::from_millis(20));
        let ms = |count: u64| start + Duration::from_millis(count);
        assert!(beat.is_due(ms(0)) && !beat.is_due(ms(0)) && !beat.is_due(ms(19)));
        // Two at once when late, and back in step.
        assert!(beat.is_due(ms(45)) && beat.is_due(ms(45)) && !beat.is_due(ms(45)));
        assert_eq!(beat.next, Some(ms(60)));
        // After a long pause only one.
        assert!(beat.is_due(ms(5000)) && !beat.is_due(ms(5000)));
    }

    #[test]
    fn tracks_are_those_asked_for() {
        let mut arguments = Arguments::default();
        assert!(add_track_requests(&arguments).is_empty());
        arguments.audio = true;
        arguments.video_bps = 1;
        let cids: Vec<String> =
            add_track_requests(&arguments).into_iter().map(|request| request.cid).collect();
        assert_eq!(cids, [VIDEO_TRACK, AUDIO_TRACK]);
    }
}
