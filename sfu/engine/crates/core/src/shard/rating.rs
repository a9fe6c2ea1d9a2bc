//! How well media gets through to and from each participant: every room with media is rated once per window, and told
//! of changes only. A room without media costs nothing; a large one is rated in several turns, so that it holds nothing
//! up.
//!
//! The scores are made here and not in Python because each takes three numbers of the packet path and a few
//! multiplications: to hand over thousands of them per window would cost far more than they do. Who hears of a change
//! is the room domain's decision.

use std::time::{Duration, Instant};

use super::{Shard, TimerKey};
use crate::command::MediaKind;
use crate::demux::TransportIndex;
use crate::event::{Event, ParticipantQuality};
use crate::layers::{StreamIndex, StreamSet};
use crate::quality::{Losses, Score, Window, loss_weight};
use crate::room::{DownEntry, ParticipantIndex, RatingRound, Room, RoomIndex, UpEntry};
use crate::rtp::Codec;
use crate::transport::{DownIndex, Format, Shape, UpIndex};

/// A living client is heard more often: it renews its consent every 6 s at the latest (RFC 7675 §5.1).
const SILENCE: Duration = Duration::from_secs(7);

/// Tracks that are rated in a turn: some tenths of a millisecond, in which no packet is forwarded. The last participant of
/// a turn may have more.
const TRACKS_PER_TURN: usize = 1_024;
/// To ask whether one watches takes so much less than to rate a track.
const LINKS_PER_TRACK: usize = 8;
/// From one turn to the next: a room of 400 who watch 50 tracks each is done within 0.15 s.
const TURN: Duration = Duration::from_millis(5);

impl Shard {
    /// A room has media: from now on it is rated.
    pub(super) fn begin_rating(&mut self, now: Instant, room: Option<RoomIndex>) {
        let Some(index) = room else { return };
        let Some(room) = self.tables.rooms.get_mut(index).filter(|room| room.rated_at.is_none()) else {
            return;
        };
        room.rated_at = Some(now);
        self.schedule_rating(index);
    }

    fn schedule_rating(&mut self, index: RoomIndex) {
        let interval = self.config.quality_interval;
        let Some(room) = self.tables.rooms.get_mut(index) else { return };
        if let Some(began) = room.rated_at {
            self.timers.schedule(TimerKey::Rating(index), began + interval, &mut room.rating_scheduled);
        }
    }

    /// Ends a window of a room, or goes on with that: as many participants as fit a turn.
    pub(super) fn rate_room(&mut self, now: Instant, index: RoomIndex) {
        let Some(room) = self.tables.rooms.get_mut(index) else { return };
        let Some(mut round) = room.round.take().or_else(|| begin_round(now, room)) else { return };
        let id = room.id;
        let mut left = Some(TRACKS_PER_TURN);
        // All up tracks first: what is missing downstream is judged by what there is.
        while let (Some(tracks), Some(participant)) = (left, round.next_publisher()) {
            left = tracks.checked_sub(self.count_published(participant));
            let is_here = self.is_in_room(participant, index);
            let rated = is_here.then(|| self.rate_published(now, round.window, participant));
            round.published.push(rated.flatten());
        }
        let mut changed = Vec::new();
        while let (Some(tracks), Some((participant, published))) = (left, round.next_subscriber()) {
            left = tracks.checked_sub(self.count_subscribed(participant));
            round.done += 1;
            if !self.is_in_room(participant, index) {
                continue; // it has left meanwhile
            }
            let subscribed = self.rate_subscribed(now, round.window, participant);
            let worst = [published, subscribed].into_iter().flatten().reduce(Score::min);
            changed.extend(self.note_score(participant, worst.unwrap_or(Score::BEST)));
            if let Some(worst) = worst {
                self.counters.ratings.count(worst.quality(), worst.mos());
            }
        }
        if !changed.is_empty() {
            self.events.push_back(Event::QualityChanged { room: id, changed });
        }
        self.end_turn(now, index, round);
    }

    fn end_turn(&mut self, now: Instant, index: RoomIndex, round: RatingRound) {
        let Some(room) = self.tables.rooms.get_mut(index) else { return };
        if round.next_publisher().is_some() || round.next_subscriber().is_some() {
            self.timers.schedule(TimerKey::Rating(index), now + TURN, &mut room.rating_scheduled);
            room.round = Some(round);
            return;
        }
        if round.published.iter().all(Option::is_none) {
            room.rated_at = None; // it has no media any more
        }
        self.schedule_rating(index);
    }

    fn is_in_room(&self, participant: ParticipantIndex, room: RoomIndex) -> bool {
        self.tables.participants.get(participant).is_some_and(|participant| participant.room == room)
    }

    /// What it takes to rate what a participant publishes: the tracks, and for each who watches it.
    fn count_published(&self, index: ParticipantIndex) -> usize {
        let Some(participant) = self.tables.participants.get(index) else { return 1 };
        let transports = participant.transports.iter().filter_map(|index| self.transports.get(*index));
        let ups = transports.flat_map(|transport| transport.published.iter().map(|(_, up)| *up));
        1 + ups
            .filter_map(|up| self.tables.ups.get(up))
            .map(|up| 1 + up.links.len() / LINKS_PER_TRACK)
            .sum::<usize>()
    }

    /// The same for what it subscribes to.
    fn count_subscribed(&self, index: ParticipantIndex) -> usize {
        let Some(participant) = self.tables.participants.get(index) else { return 1 };
        let transports = participant.transports.iter().filter_map(|index| self.transports.get(*index));
        1 + transports.map(|transport| transport.downs().len()).sum::<usize>()
    }

    fn note_score(&mut self, index: ParticipantIndex, score: Score) -> Option<ParticipantQuality> {
        let participant = self.tables.participants.get_mut(index)?;
        let quality = score.quality();
        let before = std::mem::replace(&mut participant.quality, quality);
        let change = ParticipantQuality { participant: participant.id, quality, score: score.mos() };
        (before != quality).then_some(change)
    }

    /// The worst of what a participant publishes; `None` when that is nothing.
    fn rate_published(&mut self, now: Instant, window: Duration, index: ParticipantIndex) -> Option<Score> {
        let participant = self.tables.participants.get(index)?;
        let transports = participant.transports.iter().filter_map(|index| self.transports.get(*index));
        let ups: Vec<(UpIndex, bool)> = transports
            .flat_map(|transport| {
                let is_silent = transport.is_silent(now, window);
                transport.published.iter().map(move |(_, up)| (*up, is_silent))
            })
            .collect();
        ups.into_iter().filter_map(|(up, is_silent)| self.rate_up(window, up, is_silent)).reduce(Score::min)
    }

    fn rate_up(&mut self, window: Duration, index: UpIndex, is_silent: bool) -> Option<Score> {
        let up = self.tables.ups.get(index).filter(|up| up.has_started)?;
        let wanted = wanted_layer(up, up.links.iter().filter_map(|link| self.tables.downs.get(link.down)));
        let up = self.tables.ups.get_mut(index)?;
        let arrived = up.track.take_arrivals();
        up.top_layer = arrived.top;
        let window = match wanted {
            None => Window::Held,
            Some(_) if arrived.received == 0 => {
                if is_silent {
                    Window::Silent
                } else {
                    Window::Dry
                }
            }
            Some(wanted) => Window::Flowed {
                losses: Losses {
                    expected: arrived.expected,
                    lost: arrived.expected.saturating_sub(arrived.received),
                },
                loss_weight: loss_weight(codec_of(&up.formats)),
                packets_per_s: rate(arrived.expected, window),
                missing_layers: wanted.min(arrived.top_ever).saturating_sub(arrived.top.unwrap_or(0)),
            },
        };
        Some(up.scorer.rate(window))
    }

    /// The worst of what a participant subscribes to; `None` when that is nothing.
    fn rate_subscribed(&mut self, now: Instant, window: Duration, index: ParticipantIndex) -> Option<Score> {
        let participant = self.tables.participants.get(index)?;
        let mut downs: Vec<(DownIndex, TransportIndex)> = Vec::new();
        let mut is_silent = false;
        for transport_index in &participant.transports {
            let Some(transport) = self.transports.get(*transport_index) else { continue };
            let others = downs.len();
            downs.extend(transport.bound_downs().map(|down| (down, *transport_index)));
            let has_media = downs.len() > others || !transport.published.is_empty();
            is_silent |= has_media && transport.is_silent(now, SILENCE);
        }
        let rated =
            downs.into_iter().filter_map(|(down, transport)| self.rate_down(now, window, down, transport));
        let worst = rated.reduce(Score::min);
        if is_silent { Some(Score::LOST) } else { worst }
    }

    fn rate_down(
        &mut self,
        now: Instant,
        window: Duration,
        index: DownIndex,
        transport: TransportIndex,
    ) -> Option<Score> {
        let down = self.tables.downs.get_mut(index)?;
        let up = self.tables.ups.get(down.up)?;
        let binding = down.binding.as_mut()?;
        let received = self.transports.get_mut(transport)?.take_received(binding.stream, binding.ssrc)?;
        let window = if up.is_muted || !down.is_enabled {
            Window::Held
        } else if down.is_paused {
            Window::Paused
        } else if let Some(losses) = received.losses.filter(|_| received.sent > 0) {
            let gets_opus = binding.formats.iter().flatten().any(|format| format.shape == Shape::Primary);
            let codec = if gets_opus { Codec::Opus } else { codec_of(&up.formats) };
            let live = up.track.live_streams(now);
            let current = binding.track.current();
            let is_video = down.kind == MediaKind::Video;
            Window::Flowed {
                losses,
                loss_weight: loss_weight(codec),
                packets_per_s: rate(received.sent, window),
                missing_layers: if is_video {
                    missing_streams(live, down.wanted.max_spatial, current)
                } else {
                    0
                },
            }
        } else {
            Window::Unknown
        };
        Some(binding.scorer.rate(window))
    }
}

fn begin_round(now: Instant, room: &mut Room) -> Option<RatingRound> {
    let began = room.rated_at.replace(now)?;
    Some(RatingRound::new(now.saturating_duration_since(began), room.participants.clone()))
}

/// Highest spatial layer of an up track that any subscriber is to get; `None` when its publisher is not to send: muted,
/// or video that nobody watches.
fn wanted_layer<'a>(up: &UpEntry, downs: impl Iterator<Item = &'a DownEntry>) -> Option<u8> {
    if up.is_muted {
        return None;
    }
    let is_video = up.formats.first().is_some_and(|format| format.codec.kind() == MediaKind::Video);
    let watched = downs.filter(|down| down.is_enabled).map(|down| down.wanted.max_spatial).max();
    if is_video { watched } else { Some(0) }
}

/// Simulcast streams between the one that a subscriber gets and the best that it may have.
fn missing_streams(live: StreamSet, limit: u8, current: Option<StreamIndex>) -> u8 {
    let Some(best) = live.highest_up_to(StreamIndex(limit)) else { return 0 };
    current.map_or(best.0 + 1, |current| best.0.saturating_sub(current.0))
}

/// The codec that makes losses weigh least among those that came: RED may come with bare Opus between.
fn codec_of(formats: &[Format]) -> Codec {
    let red = formats.iter().find(|format| format.codec == Codec::Red);
    red.or(formats.first()).map_or(Codec::Opus, |format| format.codec)
}

#[expect(clippy::cast_precision_loss, reason = "a rate of some packets a second")]
fn rate(packets: u32, window: Duration) -> f32 {
    packets as f32 / window.as_secs_f32().max(0.001)
}
