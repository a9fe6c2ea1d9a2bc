//! Packets of publishers on their way in: which up track, what the packet is, how loud, how it relates to the clock.
//! What may be forwarded waits in the up track for the fan-out.

use std::time::{Duration, Instant, SystemTime};

use str0m::media::{Mid, Rid};
use str0m::rtp::{AbsCaptureTime, ExtensionValues, RtpPacket};

use super::redundancy::restore;
use super::{Shard, TimerKey};
use crate::demux::TransportIndex;
use crate::downtrack::{LayerFacts, Packet};
use crate::drop_reason::DropReason;
use crate::event::{AudioLevel, Event};
use crate::ids::RoomId;
use crate::layers::StreamIndex;
use crate::room::{Bare, Gathered, Standing, UpEntry};
use crate::rtp::codec::inspect;
use crate::rtp::dependency::{Layer, PacketDependency};
use crate::rtp::{Codec, PayloadFacts};
use crate::transport::{DescriptorBytes, TimeOfDay, Transport, UpIndex, report_stamp};

/// Largest RTP payload that is forwarded; with a subscriber's header and tag it must fit a datagram everywhere.
const MAX_PAYLOAD_BYTES: usize = 1_500;
/// Packets that one up track may have waiting: a full gathering interval at far more than any real rate.
const MAX_GATHERED: usize = 4_096;

/// A publisher's sender report.
pub(super) struct Report {
    pub(super) mid: Mid,
    pub(super) rid: Option<Rid>,
    pub(super) received_at: Instant,
    pub(super) ntp_time: SystemTime,
    pub(super) rtp_timestamp: u32,
}

impl Shard {
    /// Takes in one packet of a publisher.
    pub(super) fn take_in(&mut self, now: Instant, index: TransportIndex, packet: RtpPacket) {
        self.counters.packets_in += 1;
        if let Err(reason) = self.try_take_in(now, index, packet) {
            self.counters.count_drop(reason);
        }
    }

    fn try_take_in(&mut self, now: Instant, index: TransportIndex, rtp: RtpPacket) -> Result<(), DropReason> {
        let transport = self.transports.get_mut(index).ok_or(DropReason::UnknownStream)?;
        let ups = &mut self.tables.ups;
        let route = transport
            .rx_stream(rtp.header.ssrc, |up, rid| ups.get_mut(up)?.track.stream_for(rid))
            .ok_or(DropReason::UnknownStream)?;
        let up = ups.get_mut(route.up).ok_or(DropReason::UnknownStream)?;
        let slot = up.ssrcs.get_mut(usize::from(route.stream.0)).ok_or(DropReason::UnknownStream)?;
        let before = slot.replace(rtp.header.ssrc);
        if before.is_some_and(|before| before != rtp.header.ssrc) {
            up.restarts.insert(route.stream); // until a packet of it is good enough to carry the news
            up.track.restart_stream(route.stream);
        }
        let (ssrc, timestamp) = (*rtp.header.ssrc, rtp.header.timestamp);
        let clock_rate_hz = up.track.clock_rate_hz();
        if let Some(reception) = up.reception.as_mut()
            && reception.note(now, ssrc, *rtp.seq_no, timestamp, clock_rate_hz)
            && let Some(due) = reception.due()
        {
            self.timers.schedule(TimerKey::UpTrack(route.up), due, &mut up.scheduled);
        }
        up.track.note_arrival(route.stream, *rtp.seq_no);
        if up.is_muted {
            up.gaps.insert(route.stream);
            return Err(DropReason::UpTrackMuted);
        }
        if rtp.payload.len() > MAX_PAYLOAD_BYTES {
            return Err(DropReason::Oversized);
        }
        let mut gathered = gather(now, transport, up, route.stream, self.config.time_of_day, rtp)?;
        gathered.is_restart = up.restarts.remove(route.stream);
        gathered.follows_mute = up.gaps.remove(route.stream);
        let recovered = restore(transport, up, &mut gathered);
        if gathered.packet.is_padding {
            self.counters.count_drop(DropReason::PaddingOnly);
        } else {
            self.note_media(now, route.up, &gathered);
        }
        self.enqueue(now, route.up, recovered, gathered);
        Ok(())
    }

    fn note_media(&mut self, now: Instant, index: UpIndex, gathered: &Gathered) {
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        let packet = &gathered.packet;
        let came_alive = up.track.observe(now, packet.stream, packet.starts_key_frame);
        let by_payload = || packet.layer.map(|facts| (facts.layer, facts.starts_frame));
        let by_descriptor = packet.dependency.map(|packet| (packet.frame.layer, packet.starts_frame));
        // Of a stream without layers no picture is counted: nothing can be left out there.
        let (layer, starts_picture) = by_descriptor.or_else(by_payload).unwrap_or_default();
        up.track.count(now, packet.stream, layer, gathered.payload.len());
        if starts_picture {
            up.track.count_picture(packet.stream, layer);
        }
        self.note_media_of(now, index, gathered);
        if came_alive {
            self.want_allocations_for(index);
        }
    }

    /// First packet, codec, loudness.
    fn note_media_of(&mut self, now: Instant, index: UpIndex, gathered: &Gathered) {
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        if !up.has_started {
            up.has_started = true;
            let codec = up.formats[gathered.format].codec;
            up.track.set_clock_rate_hz(codec.clock_rate_hz());
            let mime_type = codec.mime_type();
            self.events.push_back(Event::UpTrackStarted { up_track: up.id, mime_type });
            let room = up.origin.map(|origin| origin.room);
            self.begin_rating(now, room);
        }
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        if let (true, Some(level)) = (up.is_speaker, gathered.extensions.audio_level) {
            let clock_rate_hz = up.formats[gathered.format].codec.clock_rate_hz();
            let level = level.unsigned_abs();
            up.audio.observe(level, gathered.packet.timestamp, clock_rate_hz, self.config.audio_active_level);
            if !up.is_heard {
                up.is_heard = true;
                self.heard.push(index);
                self.schedule_audio_levels(now);
            }
        }
    }

    /// Lets a packet wait for the fan-out, after those that were recovered from it.
    fn enqueue(&mut self, now: Instant, index: UpIndex, recovered: Vec<Gathered>, gathered: Gathered) {
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        self.counters.count_drops(DropReason::NotBound, u64::from(up.unbound));
        if !up.is_wanted() || up.pending.len() >= MAX_GATHERED {
            return;
        }
        if up.pending.is_empty() {
            self.gathering.push(index);
        }
        self.counters.recovered += recovered.len() as u64;
        up.pending.extend(recovered);
        up.pending.push(gathered);
        self.gather_until.get_or_insert(now + self.config.gather);
    }

    /// Takes in a publisher's sender report.
    pub(super) fn take_in_report(&mut self, index: TransportIndex, report: &Report) {
        let Some(transport) = self.transports.get_mut(index) else { return };
        transport.clock.observe(report.received_at, report.ntp_time);
        let Some(up) = transport.published_on(report.mid).and_then(|up| self.tables.ups.get_mut(up)) else {
            return;
        };
        if let Some(reception) = up.reception.as_mut() {
            reception.note_sender_report(report.received_at, report_stamp(report.ntp_time));
        }
        if let Some(stream) = up.track.stream_for(report.rid.as_deref()) {
            up.track.handle_sender_report(stream, report.ntp_time, report.rtp_timestamp);
        }
    }

    /// A subscriber has lost audio; its publisher is told.
    pub(super) fn note_lost_audio(
        &mut self,
        now: Instant,
        index: TransportIndex,
        mid: Mid,
        fraction_lost: u8,
    ) {
        if !self.config.reports_subscribers_loss {
            return;
        }
        let down = self.transports.get(index).and_then(|transport| transport.down_on(mid));
        let up = down.and_then(|down| Some(self.tables.downs.get(down)?.up));
        let up = up.and_then(|up| self.tables.ups.get_mut(up));
        if let Some(reception) = up.and_then(|up| up.reception.as_mut()) {
            reception.note_subscriber(now, fraction_lost);
        }
    }

    /// Tells the publisher of an audio track how it arrives, when that is due.
    pub(super) fn report_reception(&mut self, now: Instant, index: UpIndex) {
        let Some(up) = self.tables.ups.get_mut(index) else { return };
        let Some(block) = up.reception.as_mut().and_then(|reception| reception.poll(now)) else { return };
        if let Some(transport) = up.origin.and_then(|origin| self.transports.get_mut(origin.transport)) {
            transport.send_reception(&block, &mut self.transmits, &mut self.counters);
        }
    }

    /// Notes the round-trip time to a publisher.
    pub(super) fn note_round_trip(&mut self, index: TransportIndex, mid: Mid, rtt: Duration) {
        let up = self.transports.get(index).and_then(|transport| transport.published_on(mid));
        if let Some(up) = up.and_then(|up| self.tables.ups.get_mut(up)) {
            up.track.set_rtt(rtt);
        }
    }

    fn schedule_audio_levels(&mut self, now: Instant) {
        let due = *self.audio_due.get_or_insert(now + self.config.audio_update_interval);
        self.timers.schedule(TimerKey::AudioLevels, due, &mut self.audio_scheduled);
    }

    /// Ends an interval: one event for each room in which somebody is heard, or was until now.
    pub(super) fn report_audio_levels(&mut self, now: Instant) {
        self.audio_due = None;
        let mut levels: Vec<(RoomId, AudioLevel)> = Vec::new();
        for index in std::mem::take(&mut self.heard) {
            let Some(up) = self.tables.ups.get_mut(index) else { continue };
            up.is_heard = false;
            let room = up.origin.and_then(|origin| self.tables.rooms.get(origin.room));
            if let (Some(room), Some((level, active_ms))) = (room, up.audio.take()) {
                levels.push((room.id, AudioLevel { up_track: up.id, level, active_ms }));
            }
        }
        levels.sort_unstable_by_key(|(room, level)| (*room, level.up_track));
        let fell_silent = std::mem::take(&mut self.loud_rooms);
        for of_room in levels.chunk_by(|(one, _), (other, _)| one == other) {
            let room = of_room[0].0;
            let levels = of_room.iter().map(|(_, level)| *level).collect();
            self.events.push_back(Event::AudioLevels { room, levels });
            self.loud_rooms.push(room);
        }
        for room in fell_silent {
            if self.loud_rooms.binary_search(&room).is_err() && self.tables.room_index.contains_key(&room) {
                self.events.push_back(Event::AudioLevels { room, levels: Vec::new() });
            }
        }
        if !self.loud_rooms.is_empty() {
            self.schedule_audio_levels(now);
        }
    }
}

/// Reads one packet and prepares what its subscribers share.
fn gather(
    now: Instant,
    transport: &Transport,
    up: &mut UpEntry,
    stream: StreamIndex,
    time_of_day: TimeOfDay,
    rtp: RtpPacket,
) -> Result<Gathered, DropReason> {
    let format = format_index(transport, up, &rtp).ok_or(DropReason::UnknownPayloadType)?;
    let codec = up.formats[format].codec;
    let is_padding = rtp.payload.is_empty();
    let facts = if is_padding {
        PayloadFacts::default()
    } else {
        inspect(codec, &rtp.payload).ok_or(DropReason::MalformedPayload)?
    };
    let timestamp = rtp.header.timestamp;
    let mut extensions = end_to_end_extensions(rtp.header.ext_vals);
    extensions.abs_capture_time = extensions.abs_capture_time.and_then(|capture| {
        let captured_at = transport.clock.known_instant_of(capture.capture_time, now)?;
        Some(AbsCaptureTime { capture_time: time_of_day.time_at(captured_at), clock_offset: None })
    });
    let descriptor = DescriptorBytes::take(&mut extensions);
    let dependency = if is_padding { None } else { dependency(&facts, up, stream, descriptor.as_ref()) };
    // Where the payload is encrypted, the descriptor still tells.
    let has_structure =
        dependency.is_some_and(|dependency| dependency.has_structure && dependency.starts_frame);
    let packet = Packet {
        stream,
        seq: *rtp.seq_no,
        timestamp,
        reference_timestamp: up.track.reference_timestamp(stream, timestamp),
        starts_key_frame: facts.starts_key_frame || has_structure,
        is_padding,
        vp8: facts.vp8,
        layer: layer_facts(codec, &facts),
        dependency,
        needs_descriptor: codec == Codec::Av1,
    };
    Ok(Gathered {
        arrived_at: now,
        wallclock: transport.clock.instant_of(up.track.ntp_time(stream, timestamp), now),
        packet,
        is_restart: false,
        follows_mute: false,
        marker: rtp.header.marker,
        format,
        codec,
        payload: rtp.payload,
        primary: None,
        redundant: None,
        standing: Standing::Arrived,
        bare: Bare::default(),
        descriptor,
        extensions,
    })
}

/// What the dependency descriptor says of a packet. VP8 that tells its layers by itself needs none; libwebrtc leaves
/// the ids out of its payload where it may send descriptors.
fn dependency(
    facts: &PayloadFacts,
    up: &mut UpEntry,
    stream: StreamIndex,
    descriptor: Option<&DescriptorBytes>,
) -> Option<PacketDependency> {
    let tells_itself = facts.vp8.is_some_and(|ids| ids.picture_id.is_some());
    if tells_itself { None } else { up.track.read_dependency(stream, descriptor?.as_bytes()) }
}

/// What the payload itself says of layers inside the stream.
fn layer_facts(codec: Codec, facts: &PayloadFacts) -> Option<LayerFacts> {
    matches!(codec, Codec::Vp8 | Codec::Vp9).then_some(LayerFacts {
        layer: Layer { spatial: facts.spatial, temporal: facts.temporal },
        starts_frame: facts.starts_frame,
        ends_frame: facts.ends_frame,
        is_sync: facts.is_sync,
    })
}

fn format_index(transport: &Transport, up: &mut UpEntry, rtp: &RtpPacket) -> Option<usize> {
    let payload_type = rtp.header.payload_type;
    let known = up.formats.iter().position(|format| format.payload_type == payload_type);
    known.or_else(|| {
        up.formats.push(transport.format(payload_type)?);
        Some(up.formats.len() - 1)
    })
}

/// Keeps the header extensions that mean something end to end, and the dependency descriptor.
fn end_to_end_extensions(mut values: ExtensionValues) -> ExtensionValues {
    values.mid = None;
    values.rid = None;
    values.rid_repair = None;
    values.transport_cc = None;
    values.abs_send_time = None;
    values.tx_time_offs = None;
    // The delay at which a subscriber plays is for its room to say.
    values.play_delay_min = None;
    values.play_delay_max = None;
    values
}
