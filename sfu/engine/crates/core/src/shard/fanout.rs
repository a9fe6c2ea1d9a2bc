//! Gathered packets on their way out, and key-frame requests on their way back.
//!
//! A flush first counts for each transport how many up tracks feed it, then writes up track by up track and runs a
//! transport as soon as its last feed is done, while it is still in the cache. Nothing here is looked up by hash per
//! packet and down track, and only a dependency descriptor with more than its mandatory fields allocates.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use str0m::media::Mid;
use str0m::rtp::{RtpWrite, Vp8Patch};

use super::{Shard, TIMER_GRANULARITY, TimerKey};
use crate::command::MediaKind;
use crate::demux::TransportIndex;
use crate::downtrack::{DownTrack, DownTrackConfig, Rewrite};
use crate::drop_reason::DropReason;
use crate::event::{Event, TransportFailure};
use crate::layers::{StreamIndex, StreamSet};
use crate::output::Transmit;
use crate::room::{Binding, DownEntry, Gathered};
use crate::rtp::dependency::{self, Layer};
use crate::rtp::{Codec, red};
use crate::stats::Counters;
use crate::transport::{
    BoundLine, Broken, DescriptorBytes, DownIndex, Format, Outlet, SendFormat, Signal, Transport, UpIndex,
};

/// RTP clock rate of a track whose codec is not known yet.
pub(super) const fn default_clock_rate_hz(kind: MediaKind) -> u32 {
    match kind {
        MediaKind::Audio => Codec::Opus.clock_rate_hz(),
        MediaKind::Video => Codec::Vp8.clock_rate_hz(),
    }
}

/// Takes what waits to be sent, if it likes.
type Relief<'a> = &'a mut dyn FnMut(&mut VecDeque<Transmit>);

/// What forwarding to one down track brought up.
#[derive(Default)]
struct Forwarded {
    key_frames: StreamSet,
    /// A packet's format cannot be sent here.
    has_unsupported: bool,
    /// The association must not be used any more.
    is_broken: bool,
}

impl Shard {
    /// Sends on everything gathered so far. What the transports report meanwhile is dealt with afterwards, so that the
    /// tables stand still during the walk.
    pub(super) fn fan_out_gathered(&mut self, now: Instant, relief: Relief<'_>) {
        self.gather_until = None;
        let mut ups = std::mem::take(&mut self.gathering);
        for up in ups.iter().filter_map(|up| self.tables.ups.get(*up)) {
            for link in &up.links {
                if let Some(transport) = self.transports.get_mut(link.transport) {
                    transport.feeds += 1;
                }
            }
        }
        for up in ups.drain(..) {
            self.fan_out(now, up, relief);
        }
        self.gathering = ups; // the allocation serves again
        self.handle_signals(now);
    }

    fn fan_out(&mut self, now: Instant, index: UpIndex, relief: Relief<'_>) {
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        let live = up.track.live_streams(now);
        let mut wanted = StreamSet::EMPTY;
        for link in &up.links {
            let Some(transport) = self.transports.get_mut(link.transport) else { continue };
            if let Some(down) = self.tables.downs.get_mut(link.down) {
                let forwarded =
                    forward(down, transport, &mut up.pending, &up.formats, live, &mut self.counters);
                forwarded.key_frames.iter().for_each(|stream| wanted.insert(stream));
                if forwarded.has_unsupported
                    && let Some(binding) = down.binding.as_mut().filter(|binding| !binding.has_reported_codec)
                {
                    binding.has_reported_codec = true;
                    self.events.push_back(Event::DownTrackCodecUnsupported { down_track: down.id });
                }
                if forwarded.is_broken {
                    self.signals.push((link.transport, Signal::Failed(TransportFailure::Fault)));
                }
            }
            transport.feeds = transport.feeds.saturating_sub(1);
            if transport.feeds == 0 {
                transport.is_touched = false;
                let mut outlet = Outlet {
                    index: link.transport,
                    transmits: &mut self.transmits,
                    signals: &mut self.signals,
                    demux: &mut self.demux,
                    counters: &mut self.counters,
                };
                transport.run(now, &mut outlet);
                relief(&mut self.transmits);
                self.timers.schedule(
                    TimerKey::Transport(link.transport),
                    transport.deadline().max(now + TIMER_GRANULARITY),
                    &mut transport.scheduled,
                );
            }
        }
        up.pending.clear();
        for stream in wanted.iter() {
            self.request_key_frame(now, index, stream);
        }
    }

    /// A line was negotiated: packets flow from now on, video from its next key frame, which is asked for.
    pub(super) fn bind_down_track(&mut self, now: Instant, line: BoundLine) {
        let Some(down) = self.tables.downs.get(line.down) else { return };
        let (up, kind, is_enabled, max_layer, id) =
            (down.up, down.kind, down.is_enabled, down.max_layer, down.id);
        let transport = self.transports.get(down.transport);
        let takes_descriptors = transport.is_some_and(|transport| transport.takes_descriptors(line.mid));
        let format = self.tables.ups.get(up).and_then(|up| up.formats.first());
        let mut track = DownTrack::new(DownTrackConfig {
            kind,
            clock_rate_hz: format.map_or(default_clock_rate_hz(kind), |format| format.codec.clock_rate_hz()),
            first_seq: self.random.next_u16(),
            takes_descriptors,
        });
        track.set_enabled(is_enabled);
        track.set_max_layer(max_layer);
        let binding =
            Binding { mid: line.mid, ssrc: line.ssrc, track, formats: Vec::new(), has_reported_codec: false };
        self.tables.bind_down(line.down, binding);
        self.events.push_back(Event::DownTrackBound { down_track: id });
        self.request_wanted_key_frame(now, up, line.down);
    }

    /// Switches forwarding to one down track on or off.
    pub(super) fn enable_down_track(&mut self, now: Instant, index: DownIndex, is_enabled: bool) {
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        let up = down.up;
        down.is_enabled = is_enabled;
        if let Some(binding) = &mut down.binding {
            binding.track.set_enabled(is_enabled);
            self.request_wanted_key_frame(now, up, index);
        }
    }

    /// Limits what one down track may get.
    pub(super) fn limit_down_track(&mut self, now: Instant, index: DownIndex, max_layer: Layer) {
        let Some(down) = self.tables.downs.get_mut(index) else { return };
        let up = down.up;
        down.max_layer = max_layer;
        if let Some(binding) = &mut down.binding {
            binding.track.set_max_layer(max_layer);
            self.request_wanted_key_frame(now, up, index);
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

    fn request_wanted_key_frame(&mut self, now: Instant, up: UpIndex, down: DownIndex) {
        let transport = self.tables.downs.get(down).and_then(|down| self.transports.get(down.transport));
        if !transport.is_some_and(Transport::is_connected) {
            return; // a key frame now would be lost, and the next one would have to wait for the throttle
        }
        let Some(live) = self.tables.ups.get(up).map(|up| up.track.live_streams(now)) else { return };
        let binding = self.tables.downs.get(down).and_then(|down| down.binding.as_ref());
        if let Some(stream) = binding.and_then(|binding| binding.track.wanted_key_frame(live)) {
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
            && let Some(at) = up.track.next_timeout()
        {
            self.timers.schedule(TimerKey::UpTrack(index), at, &mut up.scheduled);
        }
    }
}

/// Forwards gathered packets to one down track.
fn forward(
    down: &mut DownEntry,
    transport: &mut Transport,
    pending: &mut [Gathered],
    formats: &[Format],
    live: StreamSet,
    counters: &mut Counters,
) -> Forwarded {
    let mut forwarded = Forwarded::default();
    let Some(binding) = &mut down.binding else { return forwarded };
    if !transport.is_connected() {
        // Without keys the association would keep every packet until it has some, and then send the past.
        counters.count_drops(DropReason::NotBound, pending.len() as u64);
        return forwarded;
    }
    let mid = binding.mid;
    for gathered in &*pending {
        binding.learn_format(gathered.format, || {
            formats
                .get(gathered.format)
                .map_or(SendFormat::Unsupported, |format| transport.send_format(mid, format))
        });
    }
    let (ssrc, kind) = (binding.ssrc, down.kind);
    let written = transport.with_sender(ssrc, |stream| {
        for gathered in &mut *pending {
            match rewritten(binding, gathered, kind, live, &mut forwarded) {
                Ok(write) => {
                    stream.write_rtp(write);
                    counters.packets_out += 1;
                }
                Err(DropReason::PaddingOnly) => {} // counted once, when it came in
                Err(reason) => counters.count_drop(reason),
            }
        }
    });
    match written {
        Ok(true) => {}
        Ok(false) => counters.count_drops(DropReason::NotBound, pending.len() as u64),
        Err(Broken) => forwarded.is_broken = true,
    }
    forwarded
}

/// One packet as this subscriber gets it, or why it does not.
fn rewritten(
    binding: &mut Binding,
    gathered: &mut Gathered,
    kind: MediaKind,
    live: StreamSet,
    forwarded: &mut Forwarded,
) -> Result<RtpWrite, DropReason> {
    let send_format = binding.send_format(gathered.format);
    if send_format == SendFormat::Unsupported {
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
    let mut write =
        write_packet(gathered, &rewrite, send_format, kind).ok_or(DropReason::MalformedPayload)?;
    if let (Some(numbers), Some(descriptor)) = (rewrite.dependency, &gathered.descriptor) {
        let mut bytes = [0; dependency::MAX_BYTES];
        let length = dependency::rewrite(descriptor.as_bytes(), numbers, &mut bytes);
        let length = length.ok_or(DropReason::MalformedPayload)?;
        let mut extensions = gathered.extensions.clone();
        DescriptorBytes::put(&bytes[..length], &mut extensions);
        write = write.ext_vals(extensions);
    }
    Ok(write)
}

impl Binding {
    /// Notes how a format goes out here; `find` is asked the first time only.
    fn learn_format(&mut self, index: usize, find: impl FnOnce() -> SendFormat) {
        if self.formats.len() <= index {
            self.formats.resize(index + 1, None);
        }
        self.formats[index].get_or_insert_with(find);
    }

    /// How a format goes out here, once learned.
    fn send_format(&self, index: usize) -> SendFormat {
        self.formats.get(index).copied().flatten().unwrap_or(SendFormat::Unsupported)
    }
}

/// One packet with a subscriber's numbers. `None`: RED whose blocks do not add up.
fn write_packet(
    gathered: &mut Gathered,
    rewrite: &Rewrite,
    send_format: SendFormat,
    kind: MediaKind,
) -> Option<RtpWrite> {
    let (payload_type, payload) = match send_format {
        SendFormat::Same(payload_type) => (payload_type, Arc::clone(&gathered.payload)),
        SendFormat::Primary(payload_type) => (payload_type, primary_block(gathered)?),
        SendFormat::Unsupported => return None,
    };
    let mut write =
        RtpWrite::new(payload_type, rewrite.seq.into(), rewrite.timestamp, gathered.wallclock, payload)
            .marker(gathered.marker || rewrite.ends_picture)
            .ext_vals(gathered.extensions.clone())
            .nackable(kind == MediaKind::Video);
    if let Some(patch) = vp8_patch(gathered, rewrite) {
        write = write.vp8_patch(patch);
    }
    Some(write)
}

/// The primary block of a RED packet, cut out once for all who need it.
fn primary_block(gathered: &mut Gathered) -> Option<Arc<[u8]>> {
    if gathered.primary.is_none() {
        gathered.primary = red::primary(&gathered.payload).map(Arc::from);
    }
    gathered.primary.clone()
}

/// The subscriber's picture ids, put in while the packet is serialised; the payload itself stays shared.
fn vp8_patch(gathered: &Gathered, rewrite: &Rewrite) -> Option<Vp8Patch> {
    let mut patch = gathered.vp8.as_ref()?.patch();
    if let Some(picture_id) = rewrite.picture_id {
        patch = patch.picture_id(picture_id);
    }
    if let Some(tl0_pic_idx) = rewrite.tl0_pic_idx {
        patch = patch.tl0_pic_idx(tl0_pic_idx);
    }
    patch.build().ok()
}
