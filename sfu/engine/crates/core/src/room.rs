//! The tables of one shard: rooms, participants, up tracks, down tracks, and which feeds which. Plain data with the
//! few operations that keep it consistent; no str0m calls, no decisions.
//!
//! An entry that names something that is gone is a bug, but costs only what hangs on it: it is counted and logged
//! ([`Tables::note_slip`]), never a panic, which would cost every room of the shard.
//!
//! Up tracks and down tracks meet here and nowhere else. The fan-out walks `UpEntry::links`, which holds slab indices,
//! so the packet path hashes nothing of ours.

mod data_tracks;

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use slab::Slab;
use str0m::media::Mid;
use str0m::rtp::{ExtensionValues, Ssrc};

use crate::command::{DataProfile, MediaKind};
use crate::data::{NonceRing, SendBudget, SentRing, SequenceFilter};
use crate::demux::TransportIndex;
use crate::downtrack::{self, DownTrack};
use crate::ids::{DownTrackId, ParticipantId, RoomId, UpTrackId};
use crate::layers::{MAX_STREAMS, StreamSet};
use crate::quality::{Quality, Score, Scorer};
use crate::rtp::dependency::Layer;
use crate::rtp::{Codec, trailer};
use crate::timer::Scheduled;
use crate::transport::{DescriptorBytes, DownIndex, Format, SendFormat, SendIndex, UpIndex};
use crate::uptrack::{AudioWindow, Reception, Recovery, Redundancy, UpTrack};
use data_tracks::DataTracks;

/// Index of a room in its shard.
pub(crate) type RoomIndex = usize;
/// Index of a participant in its shard.
pub(crate) type ParticipantIndex = usize;

/// The scope of data fan-out and audio levels.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    pub(crate) participants: Vec<ParticipantIndex>,
    pub(crate) nonces: NonceRing,
    /// When its connections were rated last; `None` while it has no media.
    pub(crate) rated_at: Option<Instant>,
    pub(crate) rating_scheduled: Scheduled,
    /// The round of ratings that is under way.
    pub(crate) round: Option<RatingRound>,
}

/// A round of ratings: all of a room's participants, as many at a time as hold nothing up.
#[derive(Debug)]
pub(crate) struct RatingRound {
    /// Over which they are rated.
    pub(crate) window: Duration,
    participants: Vec<ParticipantIndex>,
    /// What the first of them publish, as far as that is rated.
    pub(crate) published: Vec<Option<Score>>,
    /// How many of them are rated altogether.
    pub(crate) done: usize,
}

impl RatingRound {
    pub(crate) fn new(window: Duration, participants: Vec<ParticipantIndex>) -> Self {
        let published = Vec::with_capacity(participants.len());
        Self { window, participants, published, done: 0 }
    }

    /// Whose publications are to be rated next.
    pub(crate) fn next_publisher(&self) -> Option<ParticipantIndex> {
        self.participants.get(self.published.len()).copied()
    }

    /// Whose subscriptions are to be rated next, and what its publications were worth.
    pub(crate) fn next_subscriber(&self) -> Option<(ParticipantIndex, Option<Score>)> {
        Some((*self.participants.get(self.done)?, *self.published.get(self.done)?))
    }
}

/// A participant as the packet path knows it.
#[derive(Debug)]
pub(crate) struct Participant {
    pub(crate) id: ParticipantId,
    pub(crate) room: RoomIndex,
    pub(crate) profile: DataProfile,
    pub(crate) transports: Vec<TransportIndex>,
    /// The transport on which it receives data.
    pub(crate) data_transport: Option<TransportIndex>,
    pub(crate) sequences: SequenceFilter,
    pub(crate) budget: SendBudget,
    pub(crate) joined_at: Instant,
    /// What others may have missed of it.
    pub(crate) sent: SentRing,
    /// When that is looked through for what is too old.
    pub(crate) sent_scheduled: Scheduled,
    /// How its connection was rated last.
    pub(crate) quality: Quality,
}

/// Where a packet stands beside what redundancy has told before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has come, and nothing of it was passed on before.
    Arrived,
    /// It has come, but was recovered before: it is news to those only who take RED and recover by themselves.
    Late,
    /// It was found in a later packet: for those only who do not take RED. Its payload is a plain one.
    Recovered,
}

/// A packet of an up track that waits for the next flush.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) arrived_at: Instant,
    /// Capture time on our clock, never in the future.
    pub(crate) wallclock: Instant,
    pub(crate) packet: downtrack::Packet,
    /// First packet of a stream that began anew under another SSRC.
    pub(crate) is_restart: bool,
    /// First packet of a stream after some that were dropped while the publication was muted.
    pub(crate) follows_mute: bool,
    pub(crate) marker: bool,
    /// Index into `UpEntry::formats`.
    pub(crate) format: usize,
    pub(crate) codec: Codec,
    pub(crate) payload: Arc<[u8]>,
    /// Primary block of a RED payload, made when the first subscriber without RED needs it.
    pub(crate) primary: Option<Arc<[u8]>>,
    /// The payload with redundancy, where subscribers are to get that and the publisher sends none.
    pub(crate) redundant: Option<Arc<[u8]>>,
    pub(crate) standing: Standing,
    /// The payload without its packet trailer, made when the first subscriber needs it.
    pub(crate) bare: Bare,
    /// Dependency descriptor as it came; forwarded when the packet's facts have one.
    pub(crate) descriptor: Option<DescriptorBytes>,
    /// Header extensions, cleared of what belongs to one hop and of the descriptor.
    pub(crate) extensions: ExtensionValues,
}

impl Gathered {
    /// Cuts the packet trailer off, once for all who need it so.
    pub(crate) fn find_bare(&mut self) {
        if !matches!(self.bare, Bare::Unknown) {
            return;
        }
        let by_payload = self.packet.layer.is_some_and(|facts| facts.ends_frame);
        let by_descriptor = self.packet.dependency.is_some_and(|dependency| dependency.ends_frame);
        let ends_frame = self.marker || by_payload || by_descriptor;
        let bare = ends_frame.then(|| trailer::without_trailer(self.codec, &self.payload)).flatten();
        self.bare = bare.map_or(Bare::Whole, |bare| Bare::Cut(bare.into()));
    }

    /// The payload without its packet trailer, as far as that was looked for.
    pub(crate) fn bare(&self) -> &Arc<[u8]> {
        match &self.bare {
            Bare::Cut(bare) => bare,
            Bare::Unknown | Bare::Whole => &self.payload,
        }
    }
}

/// A payload without its packet trailer.
#[derive(Debug, Clone, Default)]
pub(crate) enum Bare {
    /// Nobody has asked yet.
    #[default]
    Unknown,
    /// It has none.
    Whole,
    /// What is left.
    Cut(Arc<[u8]>),
}

/// One down track in the fan-out of an up track.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) down: DownIndex,
    pub(crate) transport: TransportIndex,
}

/// An up track and its place in the tables.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not states of one machine")]
pub(crate) struct UpEntry {
    pub(crate) id: UpTrackId,
    pub(crate) track: UpTrack,
    /// Where it arrives; `None` until its line is bound.
    pub(crate) origin: Option<Origin>,
    pub(crate) ssrcs: [Option<Ssrc>; MAX_STREAMS as usize],
    pub(crate) formats: Vec<Format>,
    pub(crate) is_muted: bool,
    /// Streams that were alive at the last fan-out.
    pub(crate) live: StreamSet,
    /// Streams that began anew under another SSRC and have had no packet forwarded since.
    pub(crate) restarts: StreamSet,
    /// Streams of which packets were dropped since, by being muted.
    pub(crate) gaps: StreamSet,
    pub(crate) is_speaker: bool,
    pub(crate) has_started: bool,
    pub(crate) audio: AudioWindow,
    /// Of an audio track that is not encrypted end to end, from its first packet on.
    pub(crate) redundancy: Option<Box<UpRedundancy>>,
    /// How its packets arrive; of a published audio track.
    pub(crate) reception: Option<Box<Reception>>,
    /// Of a track that is encrypted end to end: ends every frame of the server's own, so that receivers know them.
    pub(crate) trailer: Option<Arc<[u8]>>,
    /// Entered in the list of up tracks heard in this interval.
    pub(crate) is_heard: bool,
    /// Every down track.
    pub(crate) downs: Vec<DownIndex>,
    /// Down tracks with a line; others wait and get nothing.
    pub(crate) links: Vec<Link>,
    /// Down tracks of others that come here with the next key frame.
    pub(crate) coming: Vec<DownIndex>,
    pub(crate) unbound: u32,
    pub(crate) pending: Vec<Gathered>,
    pub(crate) scheduled: Scheduled,
    pub(crate) scorer: Scorer,
    /// Highest spatial layer in the last rated window.
    pub(crate) top_layer: Option<u8>,
}

/// Redundancy of one up track, and who has use for it.
#[derive(Debug, Default)]
pub(crate) struct UpRedundancy {
    pub(crate) recovery: Recovery,
    pub(crate) made: Redundancy,
    /// Some down track takes no RED.
    pub(crate) wants_plain: bool,
    /// Some down track is to get RED that the publisher does not send.
    pub(crate) wants_redundant: bool,
}

impl UpRedundancy {
    /// Packets were left out on purpose: nothing from before is recovered or repeated.
    pub(crate) fn forget(&mut self) {
        self.recovery.forget();
        self.made.forget();
    }
}

impl UpEntry {
    /// Whether anybody gets its packets, or waits for one of them.
    pub(crate) const fn is_wanted(&self) -> bool {
        !self.links.is_empty() || !self.coming.is_empty()
    }

    /// When a key-frame request or a report is due.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let report = self.reception.as_ref().and_then(|reception| reception.due());
        [self.track.next_timeout(), report].into_iter().flatten().min()
    }

    /// One down track fewer waits for a line. False: none did.
    fn take_unbound(&mut self) -> bool {
        let rest = self.unbound.checked_sub(1);
        self.unbound = rest.unwrap_or_default();
        rest.is_some()
    }
}

/// Where an up track arrives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) room: RoomIndex,
    pub(crate) transport: TransportIndex,
}

/// A down track and its place in the tables.
#[derive(Debug)]
pub(crate) struct DownEntry {
    pub(crate) id: DownTrackId,
    pub(crate) up: UpIndex,
    pub(crate) transport: TransportIndex,
    pub(crate) kind: MediaKind,
    pub(crate) is_enabled: bool,
    /// Its frames are to end without the publisher's packet trailer.
    pub(crate) strips_trailer: bool,
    /// Most that its subscriber wants.
    pub(crate) wanted: Wanted,
    /// Highest temporal layer that it takes for the pictures that are wanted.
    pub(crate) max_temporal: u8,
    /// Most that can be sent to its subscriber; `None`: no limit is known.
    pub(crate) granted: Option<Layer>,
    /// Nothing is sent for want of bandwidth: not even the lowest layer fits.
    pub(crate) is_paused: bool,
    /// Which is served first when not everything can be sent: lower.
    pub(crate) priority: u16,
    /// Where it goes with the next key frame there; until then it plays on where it is.
    pub(crate) next: Option<Next>,
    pub(crate) binding: Option<Binding>,
}

/// Most that a subscriber wants of an up track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) max_spatial: u8,
    /// Pictures a second; `None`: all of them.
    pub(crate) max_fps: Option<NonZeroU16>,
}

impl Wanted {
    pub(crate) const ALL: Self = Self { max_spatial: u8::MAX, max_fps: None };

    /// With all temporal layers.
    pub(crate) const fn max_layer(self) -> Layer {
        Layer { spatial: self.max_spatial, ..Layer::MAX }
    }
}

/// The up track to which a down track goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Next {
    pub(crate) up: UpIndex,
    /// Most that its subscriber wants there.
    pub(crate) wanted: Wanted,
}

impl DownEntry {
    /// It goes nowhere. What its subscriber wants there it wants here.
    fn settle(&mut self) -> Option<Next> {
        let next = self.next.take()?;
        self.wanted = next.wanted;
        Some(next)
    }

    /// Most that it may get: what is wanted, as far as it can be sent.
    pub(crate) fn limit(&self) -> Layer {
        match self.granted {
            Some(granted) if granted.spatial <= self.wanted.max_spatial => {
                Layer { temporal: granted.temporal.min(self.max_temporal), ..granted }
            }
            _ => Layer { spatial: self.wanted.max_spatial, temporal: self.max_temporal },
        }
    }

    /// Whether its subscriber wants fewer than all pictures, here or where it goes.
    pub(crate) fn is_thinned(&self) -> bool {
        self.wanted.max_fps.is_some() || self.next.is_some_and(|next| next.wanted.max_fps.is_some())
    }
}

/// The negotiated half of a down track.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) mid: Mid,
    pub(crate) ssrc: u32,
    /// Its stream in its transport.
    pub(crate) stream: SendIndex,
    pub(crate) track: DownTrack,
    /// By index of `UpEntry::formats`; filled when first needed.
    pub(crate) formats: Vec<Option<SendFormat>>,
    /// Its frames are to end without the publisher's packet trailer.
    pub(crate) strips_trailer: bool,
    pub(crate) has_reported_codec: bool,
    pub(crate) scorer: Scorer,
    /// Index of the format that was sent last.
    pub(crate) last_format: Option<usize>,
    /// Frames of the server's own that are still to be sent.
    pub(crate) blanks: Option<Blanks>,
}

/// A run of frames of the server's own.
#[derive(Debug, Clone)]
pub(crate) struct Blanks {
    pub(crate) codec: Codec,
    pub(crate) format: SendFormat,
    pub(crate) payload: Arc<[u8]>,
    /// Ends each of them, when the track is encrypted end to end.
    pub(crate) trailer: Option<Arc<[u8]>>,
    pub(crate) left: u32,
    pub(crate) next_at: Instant,
    pub(crate) is_first: bool,
}

/// All tables.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) rooms: Slab<Room>,
    pub(crate) participants: Slab<Participant>,
    pub(crate) ups: Slab<UpEntry>,
    pub(crate) downs: Slab<DownEntry>,
    pub(crate) data_tracks: DataTracks,
    pub(crate) room_index: FxHashMap<RoomId, RoomIndex>,
    pub(crate) participant_index: FxHashMap<ParticipantId, ParticipantIndex>,
    pub(crate) up_index: FxHashMap<UpTrackId, UpIndex>,
    pub(crate) down_index: FxHashMap<DownTrackId, DownIndex>,
    paused: u64,
    slips: u64,
}

impl Tables {
    /// Adds a participant, and its room when it is the first there. False: the id is taken.
    pub(crate) fn add_participant(
        &mut self,
        now: Instant,
        room: RoomId,
        id: ParticipantId,
        profile: DataProfile,
    ) -> bool {
        if self.participant_index.contains_key(&id) {
            return false;
        }
        let room = self.room_or_insert(room);
        let index = self.participants.insert(Participant {
            id,
            room,
            profile,
            transports: Vec::new(),
            data_transport: None,
            sequences: SequenceFilter::default(),
            budget: SendBudget::default(),
            joined_at: now,
            sent: SentRing::default(),
            sent_scheduled: Scheduled::default(),
            quality: Quality::Excellent,
        });
        match self.rooms.get_mut(room) {
            Some(room) => room.participants.push(index),
            None => self.note_slip("participant without room"),
        }
        self.participant_index.insert(id, index);
        true
    }

    fn room_or_insert(&mut self, id: RoomId) -> RoomIndex {
        *self.room_index.entry(id).or_insert_with(|| {
            self.rooms.insert(Room {
                id,
                participants: Vec::new(),
                nonces: NonceRing::default(),
                rated_at: None,
                rating_scheduled: Scheduled::default(),
                round: None,
            })
        })
    }

    /// Forgets a participant whose transports are gone, and its room with the last one.
    pub(crate) fn remove_participant(&mut self, index: ParticipantIndex) {
        let Some(participant) = self.participants.try_remove(index) else { return };
        self.participant_index.remove(&participant.id);
        self.data_tracks.forget_participant(index);
        let Some(room) = self.rooms.get_mut(participant.room) else {
            return self.note_slip("participant without room");
        };
        room.participants.retain(|other| *other != index);
        if room.participants.is_empty() {
            self.room_index.remove(&room.id);
            self.rooms.try_remove(participant.room);
        }
    }

    /// The up track of an id; one that nobody has published yet waits in the tables for its publisher.
    pub(crate) fn up_or_insert(&mut self, id: UpTrackId, make: impl FnOnce() -> UpTrack) -> UpIndex {
        *self.up_index.entry(id).or_insert_with(|| {
            self.ups.insert(UpEntry {
                id,
                track: make(),
                origin: None,
                ssrcs: [None; MAX_STREAMS as usize],
                formats: Vec::new(),
                is_muted: false,
                live: StreamSet::EMPTY,
                restarts: StreamSet::EMPTY,
                gaps: StreamSet::EMPTY,
                is_speaker: false,
                has_started: false,
                audio: AudioWindow::default(),
                redundancy: None,
                reception: None,
                trailer: None,
                is_heard: false,
                downs: Vec::new(),
                links: Vec::new(),
                coming: Vec::new(),
                unbound: 0,
                pending: Vec::new(),
                scheduled: Scheduled::default(),
                scorer: Scorer::default(),
                top_layer: None,
            })
        })
    }

    /// Adds a down track that has no line yet. `None`: the id is taken.
    pub(crate) fn add_down(&mut self, entry: DownEntry) -> Option<DownIndex> {
        if self.down_index.contains_key(&entry.id) {
            return None;
        }
        let (id, up) = (entry.id, entry.up);
        if !self.ups.contains(up) {
            self.note_slip("down track added to no up track");
            return None;
        }
        let index = self.downs.insert(entry);
        self.down_index.insert(id, index);
        let up = self.ups.get_mut(up)?;
        up.downs.push(index);
        up.unbound += 1;
        Some(index)
    }

    /// Takes a down track out of the fan-out, keeping its entry.
    pub(crate) fn unbind_down(&mut self, index: DownIndex) -> Option<Binding> {
        self.finish_move(index); // nothing plays that it could wait with
        let down = self.downs.get_mut(index)?;
        let binding = down.binding.take()?;
        match self.ups.get_mut(down.up) {
            Some(up) => {
                up.links.retain(|link| link.down != index);
                up.unbound += 1;
            }
            None => self.note_slip("down track bound to no up track"),
        }
        Some(binding)
    }

    /// Puts a down track into the fan-out.
    pub(crate) fn bind_down(&mut self, index: DownIndex, binding: Binding) {
        self.unbind_down(index);
        let Some(down) = self.downs.get_mut(index) else { return };
        let Some(up) = self.ups.get_mut(down.up) else {
            return self.note_slip("down track to be bound to no up track");
        };
        down.binding = Some(binding);
        up.links.push(Link { down: index, transport: down.transport });
        if !up.take_unbound() {
            self.note_slip("up track with too few waiting down tracks");
        }
    }

    /// Notes whether a down track is paused. True: that is news.
    pub(crate) fn set_paused(&mut self, index: DownIndex, is_paused: bool) -> bool {
        let Some(down) = self.downs.get_mut(index).filter(|down| down.is_paused != is_paused) else {
            return false;
        };
        down.is_paused = is_paused;
        self.paused = if is_paused { self.paused + 1 } else { self.paused.saturating_sub(1) };
        true
    }

    /// Current number of paused down tracks.
    pub(crate) const fn paused(&self) -> u64 {
        self.paused
    }

    /// Feeds a down track by another up track from that one's next key frame on.
    pub(crate) fn move_down_later(&mut self, index: DownIndex, to: UpIndex) {
        self.stay(index);
        let Some(down) = self.downs.get_mut(index).filter(|down| down.up != to) else { return };
        if let Some(up) = self.ups.get_mut(to) {
            up.coming.push(index);
            down.next = Some(Next { up: to, wanted: down.wanted });
        }
    }

    /// A down track goes where it was to go, at once. True: it was to go somewhere.
    pub(crate) fn finish_move(&mut self, index: DownIndex) -> bool {
        let Some(down) = self.downs.get_mut(index) else { return false };
        let Some(next) = down.next else { return false };
        self.move_down(index, next.up);
        true
    }

    /// A down track does not go where it was to go.
    fn stay(&mut self, index: DownIndex) {
        let Some(down) = self.downs.get_mut(index) else { return };
        let Some(next) = down.settle() else { return };
        match self.ups.get_mut(next.up) {
            Some(up) => up.coming.retain(|other| *other != index),
            None => self.note_slip("down track comes to no up track"),
        }
    }

    /// Feeds a down track by another up track from now on; its line and its numbers go on.
    pub(crate) fn move_down(&mut self, index: DownIndex, to: UpIndex) {
        self.stay(index);
        let Some(down) = self.downs.get_mut(index) else { return };
        if down.up == to || !self.ups.contains(to) {
            return;
        }
        let from = std::mem::replace(&mut down.up, to);
        let link = Link { down: index, transport: down.transport };
        let is_bound = down.binding.is_some();
        if let Some(binding) = &mut down.binding {
            binding.formats.clear();
            binding.has_reported_codec = false;
            binding.track.restart();
        }
        if let Some(up) = self.ups.get_mut(to) {
            up.downs.push(index);
            if is_bound {
                up.links.push(link);
            } else {
                up.unbound += 1;
            }
        }
        self.leave_up(from, index, is_bound);
    }

    /// Takes a down track off the lists of an up track, which goes with the last one when it was never published.
    fn leave_up(&mut self, from: UpIndex, index: DownIndex, is_bound: bool) {
        let Some(up) = self.ups.get_mut(from) else {
            return self.note_slip("down track removed from no up track");
        };
        up.downs.retain(|other| *other != index);
        up.links.retain(|link| link.down != index);
        let was_counted = is_bound || up.take_unbound();
        if up.origin.is_none() && up.downs.is_empty() {
            self.remove_up(from);
        }
        if !was_counted {
            self.note_slip("up track with too few waiting down tracks");
        }
    }

    /// Forgets a down track, and a never published up track with its last one.
    pub(crate) fn remove_down(&mut self, index: DownIndex) -> Option<DownEntry> {
        self.unbind_down(index);
        let down = self.downs.try_remove(index)?;
        self.down_index.remove(&down.id);
        self.paused = self.paused.saturating_sub(u64::from(down.is_paused));
        self.leave_up(down.up, index, false);
        Some(down)
    }

    /// Forgets an up track without down tracks; those that were to come stay where they are.
    pub(crate) fn remove_up(&mut self, index: UpIndex) {
        let coming = self.ups.get_mut(index).map(|up| std::mem::take(&mut up.coming)).unwrap_or_default();
        for down in coming {
            self.downs.get_mut(down).and_then(DownEntry::settle);
        }
        if let Some(up) = self.ups.try_remove(index) {
            self.up_index.remove(&up.id);
        }
    }

    /// Every down track of an up track.
    pub(crate) fn downs_of(&self, up: UpIndex) -> Vec<DownIndex> {
        self.ups.get(up).map(|up| up.downs.clone()).unwrap_or_default()
    }

    /// Notes that an entry names something that is gone; logged less and less often, for a packet may cause it.
    pub(crate) fn note_slip(&mut self, what: &'static str) {
        self.slips += 1;
        if self.slips.is_power_of_two() {
            tracing::error!(what, slips = self.slips, "tables contradict each other");
        }
    }

    /// Forgets everything but the number of slips.
    pub(crate) fn clear(&mut self) {
        *self = Self { slips: self.slips, ..Self::default() };
    }

    /// Slips since the tables began.
    pub(crate) const fn slips(&self) -> u64 {
        self.slips
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
            && self.participants.is_empty()
            && self.ups.is_empty()
            && self.downs.is_empty()
            && self.data_tracks.is_empty()
            && self.room_index.is_empty()
            && self.participant_index.is_empty()
            && self.up_index.is_empty()
            && self.down_index.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uptrack::{PliThrottle, UpTrackConfig};

    fn tables_with_downs(count: u64) -> (Tables, UpIndex, Vec<DownIndex>) {
        let mut tables = Tables::default();
        let config = UpTrackConfig { clock_rate_hz: 90_000, pli_throttle: PliThrottle::default() };
        let up = tables.up_or_insert(UpTrackId(1), || UpTrack::new(config));
        let add = |id: u64| DownEntry {
            id: DownTrackId(id),
            up,
            transport: 0,
            kind: MediaKind::Video,
            is_enabled: true,
            strips_trailer: false,
            wanted: Wanted::ALL,
            max_temporal: u8::MAX,
            granted: None,
            is_paused: false,
            priority: u16::MAX,
            next: None,
            binding: None,
        };
        let downs = (0..count).map(|id| tables.add_down(add(id)).unwrap()).collect();
        (tables, up, downs)
    }

    fn binding() -> Binding {
        let config = downtrack::DownTrackConfig {
            kind: MediaKind::Video,
            clock_rate_hz: 90_000,
            first_seq: 0,
            takes_descriptors: false,
        };
        Binding {
            mid: Mid::from("0"),
            ssrc: 1,
            stream: 0,
            track: DownTrack::new(config),
            formats: Vec::new(),
            strips_trailer: false,
            has_reported_codec: false,
            last_format: None,
            blanks: None,
            scorer: Scorer::default(),
        }
    }

    #[test]
    fn a_down_track_of_a_lost_up_track_costs_itself_alone() {
        let (mut tables, up, downs) = tables_with_downs(3);
        tables.bind_down(downs[0], binding());
        tables.remove_up(up);
        tables.bind_down(downs[1], binding());
        tables.unbind_down(downs[0]);
        for down in downs {
            assert!(tables.remove_down(down).is_some());
        }
        assert!(tables.is_empty());
        assert_eq!(tables.slips(), 5);
    }

    #[test]
    fn a_lost_room_costs_its_participants_alone() {
        let (now, mut tables) = (Instant::now(), Tables::default());
        let profile = || DataProfile {
            sid: "PA_1".into(),
            identity: "one".into(),
            can_publish_data: true,
            hidden: false,
            agent: false,
        };
        assert!(tables.add_participant(now, RoomId(1), ParticipantId(1), profile()));
        tables.rooms.clear();
        assert!(tables.add_participant(now, RoomId(1), ParticipantId(2), profile()));
        tables.remove_participant(0);
        tables.remove_participant(1);
        assert_eq!((tables.participants.len(), tables.participant_index.len(), tables.slips()), (0, 0, 3));
    }

    #[test]
    fn an_up_track_knows_its_down_tracks() {
        let (mut tables, up, downs) = tables_with_downs(3);
        tables.bind_down(downs[1], binding());
        assert_eq!(tables.downs_of(up), downs);
        tables.remove_down(downs[0]);
        tables.remove_down(downs[1]);
        assert_eq!(tables.downs_of(up), [downs[2]]);
        tables.remove_down(downs[2]);
        assert!(tables.is_empty(), "nobody publishes it, nobody wants it");
        assert_eq!((tables.downs_of(up), tables.slips()), (Vec::new(), 0));
    }
}
