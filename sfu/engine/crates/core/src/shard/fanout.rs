//! Gathered packets on their way out, and key-frame requests on their way back.
//!
//! A flush writes up track by up track, straight into the buffer in which the datagrams leave. Nothing here is looked
//! up by hash or allocated per packet and down track.

use std::sync::Arc;
use std::time::Instant;

use str0m::media::Mid;

use super::{Shard, TimerKey, on_grid};
use crate::command::MediaKind;
use crate::demux::TransportIndex;
use crate::downtrack::{self, DownTrack, DownTrackConfig, Rewrite};
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::layers::{StreamIndex, StreamSet};
use crate::output::Transmits;
use crate::quality::Scorer;
use crate::room::{Binding, DownEntry, Gathered, Standing, Wanted};
use crate::rtp::dependency;
use crate::rtp::{Codec, red};
use crate::stats::Counters;
use crate::transport::{
    BoundLine, DownIndex, Format, Licence, OutgoingPacket, Patch, SendFormat, Shape, Transport, UpIndex,
};

/// RTP clock rate of a track whose codec is not known yet.
pub(super) const fn default_clock_rate_hz(kind: MediaKind) -> u32 {
    match kind {
        MediaKind::Audio => Codec::Opus.clock_rate_hz(),
        MediaKind::Video => Codec::Vp8.clock_rate_hz(),
    }
}

/// Takes what waits to be sent, if it likes.
type Relief<'a> = &'a mut dyn FnMut(&mut Transmits);

/// What forwarding to one down track brought up.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states of one machine")]
struct Forwarded {
    key_frames: StreamSet,
    /// A packet's format cannot be sent here.
    has_unsupported: bool,
    /// It takes no RED, but the publisher sends that.
    wants_plain: bool,
    /// It is to get RED that the publisher does not send.
    wants_redundant: bool,
    /// The transport wants to be scheduled anew.
    has_new_deadline: bool,
}

/// What an up track has gathered.
struct Gathering<'a> {
    packets: &'a mut [Gathered],
    formats: &'a [Format],
    licence: Licence,
    live: StreamSet,
}

impl Shard {
    /// Sends on everything gathered so far. What the transports report meanwhile is dealt with afterwards, so that the
    /// tables stand still during the walk.
    pub(super) fn fan_out_gathered(&mut self, now: Instant, relief: Relief<'_>) {
        self.gather_until = None;
        let mut ups = std::mem::take(&mut self.gathering);
        for up in ups.drain(..) {
            self.fan_out(now, up, relief);
        }
        self.gathering = ups; // the allocation serves again
        self.handle_signals(now);
    }

    fn fan_out(&mut self, now: Instant, index: UpIndex, relief: Relief<'_>) {
        self.admit_coming(now, index);
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        let live = up.track.live_streams(now);
        let licence =
            Licence { is_encrypted: up.trailer.is_some(), adds_redundancy: self.config.adds_redundancy };
        let mut wanted = StreamSet::EMPTY;
        for link in &up.links {
            let Some(transport) = self.transports.get_mut(link.transport) else { continue };
            let Some(down) = self.tables.downs.get_mut(link.down) else { continue };
            let forwarded = forward(
                now,
                down,
                transport,
                Gathering { packets: &mut up.pending, formats: &up.formats, licence, live },
                &mut self.transmits,
                &mut self.counters,
            );
            forwarded.key_frames.iter().for_each(|stream| wanted.insert(stream));
            if let Some(redundancy) = up.redundancy.as_mut() {
                redundancy.wants_plain |= forwarded.wants_plain;
                redundancy.wants_redundant |= forwarded.wants_redundant;
            }
            if forwarded.has_unsupported
                && let Some(binding) = down.binding.as_mut().filter(|binding| !binding.has_reported_codec)
            {
                binding.has_reported_codec = true;
                self.events
                    .push_back(Event::DownTrackCodecUnsupported { down_track: down.id, up_track: up.id });
            }
            if forwarded.has_new_deadline {
                self.timers.schedule(
                    TimerKey::Transport(link.transport),
                    on_grid(self.began, now, transport.deadline()),
                    &mut transport.scheduled,
                );
            }
            if self.transmits.is_full() {
                relief(&mut self.transmits);
            }
        }
        up.pending.clear();
        if std::mem::replace(&mut up.live, live) != live {
            self.want_allocations_for(index);
        }
        for stream in wanted.iter() {
            self.request_key_frame(now, index, stream);
        }
    }

    /// Whether a down track plays something with which it can wait for the first key frame of another up track.
    pub(super) fn can_wait(&self, now: Instant, down: DownIndex, next: UpIndex) -> bool {
        let is_published = self.tables.ups.get(next).is_some_and(|up| up.origin.is_some());
        is_published && self.is_playing(now, down)
    }

    fn is_playing(&self, now: Instant, down: DownIndex) -> bool {
        let Some(down) = self.tables.downs.get(down) else { return false };
        let playing = down.binding.as_ref().and_then(|binding| binding.track.current());
        let live = self.tables.ups.get(down.up).map(|up| up.track.live_streams(now)).unwrap_or_default();
        down.kind == MediaKind::Video && playing.is_some_and(|stream| live.contains(stream))
    }

    /// Takes in the down tracks for which the key frame has come, or which play nothing any more where they are. The
    /// others ask for one.
    fn admit_coming(&mut self, now: Instant, index: UpIndex) {
        let Some(up) = self.tables.ups.get(index).filter(|up| !up.coming.is_empty()) else { return };
        let begun: StreamSet = up
            .pending
            .iter()
            .filter(|gathered| gathered.packet.starts_key_frame)
            .map(|gathered| gathered.packet.stream)
            .collect();
        for down in up.coming.clone() {
            let wanted = self.wanted_of_next(now, down);
            if !wanted.is_some_and(|wanted| begun.contains(wanted)) && self.is_playing(now, down) {
                self.request_coming_key_frame(now, down);
                continue;
            }
            if self.tables.finish_move(down) {
                self.has_moved(now, down);
            }
        }
    }

    /// A down track is fed by another up track: its limits there hold, and its subscriber needs another rate.
    pub(super) fn has_moved(&mut self, now: Instant, down: DownIndex) {
        self.follow_picture_rate(now, down);
        let Some(entry) = self.tables.downs.get_mut(down) else { return };
        let (limit, subscriber) = (entry.limit(), entry.transport);
        if let Some(binding) = &mut entry.binding {
            binding.track.set_max_layer(limit);
        }
        self.want_allocation(subscriber);
    }

    /// The stream that a down track is to get where it goes.
    fn wanted_of_next(&self, now: Instant, down: DownIndex) -> Option<StreamIndex> {
        let next = self.tables.downs.get(down)?.next?;
        let live = self.tables.ups.get(next.up)?.track.live_streams(now);
        downtrack::target_within(next.wanted.max_layer(), live)
    }

    pub(super) fn request_coming_key_frame(&mut self, now: Instant, down: DownIndex) {
        let next = self.tables.downs.get(down).and_then(|down| down.next);
        if let (Some(next), Some(stream)) = (next, self.wanted_of_next(now, down)) {
            self.request_key_frame(now, next.up, stream);
        }
    }

    /// A line was negotiated: packets flow from now on, video from its next key frame, which is asked for.
    pub(super) fn bind_down_track(&mut self, now: Instant, line: BoundLine) {
        let Some(down) = self.tables.downs.get(line.down) else { return };
        let (up, kind, is_enabled, strips_trailer, id) =
            (down.up, down.kind, down.is_enabled, down.strips_trailer, down.id);
        let (is_paused, limit) = (down.is_paused, down.limit());
        let transport_index = down.transport;
        let transport = self.transports.get(transport_index);
        let takes_descriptors = transport.is_some_and(|transport| transport.takes_descriptors(line.stream));
        let format = self.tables.ups.get(up).and_then(|up| up.formats.first());
        let mut track = DownTrack::new(DownTrackConfig {
            kind,
            clock_rate_hz: format.map_or(default_clock_rate_hz(kind), |format| format.codec.clock_rate_hz()),
            first_seq: self.random.next_u16(),
            takes_descriptors,
        });
        track.set_enabled(is_enabled);
        track.set_paused(is_paused);
        track.set_max_layer(limit);
        let binding = Binding {
            mid: line.mid,
            ssrc: line.ssrc,
            stream: line.stream,
            track,
            formats: Vec::new(),
            strips_trailer,
            has_reported_codec: false,
            last_format: None,
            blanks: None,
            scorer: Scorer::default(),
        };
        self.tables.bind_down(line.down, binding);
        let mime_types =
            self.transports.get(transport_index).map(|transport| transport.mime_types_on(line.mid));
        self.events
            .push_back(Event::DownTrackBound { down_track: id, mime_types: mime_types.unwrap_or_default() });
        self.note_demand(now, transport_index, up, line.down);
    }

    /// What a subscriber wants of a track has changed. Where not everything can be sent, the allocation decides which
    /// key frame is needed.
    pub(super) fn note_demand(
        &mut self,
        now: Instant,
        subscriber: TransportIndex,
        up: UpIndex,
        down: DownIndex,
    ) {
        if !self.want_allocation(subscriber) {
            self.request_wanted_key_frame(now, up, down);
        }
    }

    /// Switches forwarding to one down track on or off.
    pub(super) fn enable_down_track(&mut self, now: Instant, index: DownIndex, is_enabled: bool) {
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        let (up, subscriber) = (down.up, down.transport);
        let was_enabled = std::mem::replace(&mut down.is_enabled, is_enabled);
        if let Some(binding) = &mut down.binding {
            binding.track.set_enabled(is_enabled);
            self.note_demand(now, subscriber, up, index);
        }
        if is_enabled != was_enabled {
            self.silence_down_track(now, index, !is_enabled);
        }
    }

    /// Limits what one down track may get.
    pub(super) fn limit_down_track(&mut self, now: Instant, index: DownIndex, wanted: Wanted) {
        if wanted.max_fps.is_some() {
            self.begin_thinning(now, index);
        }
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        if let Some(next) = &mut down.next {
            next.wanted = wanted;
            return;
        }
        if std::mem::replace(&mut down.wanted, wanted).max_fps != wanted.max_fps {
            down.max_temporal = u8::MAX; // what was kept of it was for another wish
        }
        self.follow_picture_rate(now, index);
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        let (up, subscriber) = (down.up, down.transport);
        let limit = down.limit();
        if let Some(binding) = &mut down.binding {
            binding.track.set_max_layer(limit);
            self.note_demand(now, subscriber, up, index);
        }
    }

    /// A transport is connected: what waited for it begins.
    pub(super) fn request_first_key_frames(&mut self, now: Instant, index: TransportIndex) {
        let downs = self.transports.get(index).map(Transport::downs).unwrap_or_default();
        for down in downs {
            if let Some(up) = self.tables.downs.get(down).map(|entry| entry.up) {
                self.request_wanted_key_frame(now, up, down);
            }
        }
    }

    /// The subscriber turned down every format of the down track's line.
    pub(super) fn report_unsupported(&mut self, index: DownIndex) {
        let Some(down) = self.tables.downs.get(index) else { return };
        if let Some(up_track) = self.tables.ups.get(down.up).map(|up| up.id) {
            self.events.push_back(Event::DownTrackCodecUnsupported { down_track: down.id, up_track });
        }
    }

    pub(super) fn request_wanted_key_frame(&mut self, now: Instant, up: UpIndex, down: DownIndex) {
        let transport = self.tables.downs.get(down).and_then(|down| self.transports.get(down.transport));
        if !transport.is_some_and(Transport::is_connected) {
            return; // a key frame now would be lost, and the next one would have to wait for the throttle
        }
        let Some(live) = self.tables.ups.get(up).map(|up| up.track.live_streams(now)) else { return };
        let binding = self.tables.downs.get(down).and_then(|down| down.binding.as_ref());
        let Some(binding) = binding else { return };
        let Some(stream) = binding.track.wanted_key_frame(live) else { return };
        // Where nothing plays, a small picture now is better than a large one when the throttle allows it.
        let is_blank = binding.track.current().is_none();
        let entry = self.tables.ups.get(up).filter(|_| is_blank);
        let first = entry.and_then(|entry| entry.track.first_picture_below(now, stream, live));
        for stream in first.into_iter().chain([stream]) {
            self.request_key_frame(now, up, stream);
        }
    }

    /// A subscriber asked for a key frame on one of our lines.
    pub(super) fn pass_on_key_frame_request(&mut self, now: Instant, index: TransportIndex, mid: Mid) {
        let down = self.transports.get(index).and_then(|transport| transport.down_on(mid));
        let Some(down) = down.and_then(|down| self.tables.downs.get(down)) else { return };
        let up = down.up;
        let Some(live) = self.tables.ups.get(up).map(|up| up.track.live_streams(now)) else { return };
        let source = down.binding.as_ref().and_then(|binding| binding.track.key_frame_source(live));
        if let Some(stream) = source {
            self.request_key_frame(now, up, stream);
        }
    }

    /// Somebody needs a key frame; one request serves all who ask within the throttle.
    fn request_key_frame(&mut self, now: Instant, index: UpIndex, stream: StreamIndex) {
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        if up.track.request_key_frame(now, stream) {
            self.send_key_frame_request(index, stream);
        }
        self.schedule_up_track(index);
    }

    /// The key frame did not come: asks again where it is time.
    pub(super) fn repeat_key_frame_requests(&mut self, now: Instant, index: UpIndex) {
        while let Some(stream) =
            self.tables.ups.get_mut(index).and_then(|up| up.track.poll_key_frame_request(now))
        {
            self.send_key_frame_request(index, stream);
        }
        self.schedule_up_track(index);
    }

    fn send_key_frame_request(&mut self, index: UpIndex, stream: StreamIndex) {
        let Some(up) = self.tables.ups.get(index) else { return };
        let ssrc = up.ssrcs.get(usize::from(stream.0)).copied().flatten();
        if let (Some(origin), Some(ssrc)) = (up.origin, ssrc)
            && let Some(transport) = self.transports.get_mut(origin.transport)
        {
            transport.request_key_frame(ssrc);
            self.touch(origin.transport);
        }
    }

    fn schedule_up_track(&mut self, index: UpIndex) {
        if let Some(up) = self.tables.ups.get_mut(index)
            && let Some(at) = up.next_timeout()
        {
            self.timers.schedule(TimerKey::UpTrack(index), at, &mut up.scheduled);
        }
    }
}

/// Forwards gathered packets to one down track.
fn forward(
    now: Instant,
    down: &mut DownEntry,
    transport: &mut Transport,
    gathering: Gathering<'_>,
    transmits: &mut Transmits,
    counters: &mut Counters,
) -> Forwarded {
    let mut forwarded = Forwarded::default();
    let Gathering { packets, formats, licence, live } = gathering;
    let Some(binding) = &mut down.binding else { return forwarded };
    if !transport.is_connected() {
        counters.count_drops(DropReason::NotBound, packets.len() as u64);
        return forwarded;
    }
    for gathered in &*packets {
        if let Some(learned) = binding.learn_format(gathered.format, formats, licence, transport) {
            forwarded.wants_plain |= learned.shape == Shape::Primary;
            forwarded.wants_redundant |= learned.shape == Shape::Redundant;
        }
    }
    let Some(mut lane) = transport.lane(now, binding.stream, binding.ssrc) else {
        counters.count_drops(DropReason::NotBound, packets.len() as u64);
        return forwarded;
    };
    let mut scratch = [0; dependency::MAX_BYTES];
    for gathered in packets {
        let takes_red = binding.send_format(gathered.format).block_type.is_some();
        match gathered.standing {
            Standing::Recovered if takes_red => continue, // it has the same redundancy
            Standing::Late if !takes_red => {
                counters.count_drop(DropReason::AlreadyRecovered);
                continue;
            }
            _ => {}
        }
        let format = gathered.format;
        let outcome = rewritten(binding, gathered, &mut scratch, live, &mut forwarded).and_then(|packet| {
            lane.send(&packet, transmits, counters).then_some(()).ok_or(DropReason::NotBound)
        });
        match outcome {
            Ok(()) => binding.last_format = Some(format),
            Err(DropReason::PaddingOnly) => {} // counted once, when it comes in
            Err(reason) => counters.count_drop(reason),
        }
    }
    forwarded.has_new_deadline = lane.finish();
    forwarded
}

/// One packet as this subscriber gets it, or why it does not.
fn rewritten<'a>(
    binding: &mut Binding,
    gathered: &'a mut Gathered,
    scratch: &'a mut [u8; dependency::MAX_BYTES],
    live: StreamSet,
    forwarded: &mut Forwarded,
) -> Result<OutgoingPacket<'a>, DropReason> {
    let send_format = binding.send_format(gathered.format);
    if send_format.shape == Shape::Unsupported {
        forwarded.has_unsupported = true;
        return Err(DropReason::CodecUnsupported);
    }
    if binding.track.current() == Some(gathered.packet.stream) {
        if gathered.is_restart {
            binding.track.restart();
        } else if gathered.follows_mute {
            binding.track.interrupt();
        }
    }
    let verdict = binding.track.handle(gathered.arrived_at, &gathered.packet, live);
    if let Some(stream) = verdict.key_frame_of {
        forwarded.key_frames.insert(stream);
    }
    let rewrite = verdict.outcome?;
    let descriptor = match (rewrite.dependency, &gathered.descriptor) {
        (Some(numbers), Some(descriptor)) => {
            let length = dependency::rewrite(descriptor.as_bytes(), numbers, scratch);
            Some(
                scratch
                    .get(..length.ok_or(DropReason::MalformedPayload)?)
                    .ok_or(DropReason::MalformedPayload)?,
            )
        }
        _ => None,
    };
    outgoing(gathered, &rewrite, send_format, descriptor).ok_or(DropReason::MalformedPayload)
}

impl Binding {
    /// Notes how a format goes out here; the transport is asked the first time only. Gives what is news.
    fn learn_format(
        &mut self,
        index: usize,
        formats: &[Format],
        licence: Licence,
        transport: &mut Transport,
    ) -> Option<SendFormat> {
        if self.formats.get(index).is_some_and(Option::is_some) {
            return None;
        }
        if self.formats.len() <= index {
            self.formats.resize(index + 1, None);
        }
        let format = formats.get(index)?;
        let mut learned = transport.send_format(self.mid, format, licence);
        if self.strips_trailer && learned.shape == Shape::Same {
            learned.shape = Shape::Bare;
        }
        self.formats[index] = Some(learned);
        transport.set_stream_clock(self.stream, format.codec.clock_rate_hz());
        self.track.set_clock_rate_hz(format.codec.clock_rate_hz());
        Some(learned)
    }

    /// How a format goes out here, once learned.
    fn send_format(&self, index: usize) -> SendFormat {
        self.formats.get(index).copied().flatten().unwrap_or(SendFormat::UNSUPPORTED)
    }
}

/// One packet with a subscriber's numbers. `None`: RED whose blocks do not add up.
fn outgoing<'a>(
    gathered: &'a mut Gathered,
    rewrite: &Rewrite,
    send_format: SendFormat,
    descriptor: Option<&'a [u8]>,
) -> Option<OutgoingPacket<'a>> {
    if send_format.shape == Shape::Primary && gathered.primary.is_none() {
        // Cut out once for all who need it.
        gathered.primary = red::primary(&gathered.payload).map(Arc::from);
    }
    if send_format.shape == Shape::Redundant && gathered.redundant.is_none() {
        // The first packets of the first subscriber to get redundancy.
        gathered.redundant = Some(red::bare(&gathered.payload).into());
    }
    if send_format.shape == Shape::Bare {
        gathered.find_bare();
    }
    let payload = match send_format.shape {
        Shape::Bare => gathered.bare(),
        Shape::Same => &gathered.payload,
        Shape::Primary => gathered.primary.as_ref()?,
        Shape::Redundant => gathered.redundant.as_ref()?,
        Shape::Unsupported => return None,
    };
    let patch = if rewrite.picture_id.is_some() || rewrite.tl0_pic_idx.is_some() {
        Patch::vp8_ids(payload, rewrite.picture_id, rewrite.tl0_pic_idx)
    } else if let Some(block_type) = send_format.foreign_blocks(payload) {
        Patch::red_blocks(payload, block_type)
    } else {
        Patch::NONE
    };
    Some(OutgoingPacket {
        payload_type: send_format.payload_type,
        resend_type: send_format.resend_type,
        marker: gathered.marker || rewrite.ends_picture,
        starts_key_frame: gathered.packet.starts_key_frame,
        seq: rewrite.seq,
        timestamp: rewrite.timestamp,
        captured_at: gathered.wallclock,
        payload,
        patch,
        values: &gathered.extensions,
        descriptor,
    })
}
