//! Carries out what the control plane asks. Each function answers whether what the command named still exists.

use std::num::NonZeroU16;
use std::time::Instant;

use str0m::media::Mid;

use super::Shard;
use super::fanout::default_clock_rate_hz;
use crate::command::{Command, DataProfile, MediaKind, PublishLine, TransportRole};
use crate::demux::TransportIndex;
use crate::event::{Event, TransportFailure};
use crate::ids::{DownTrackId, ParticipantId, RequestId, TransportId, UpTrackId};
use crate::room::{DownEntry, Origin, Wanted};
use crate::sdp::RemoteOffer;
use crate::transport::{Negotiated, NegotiationError, Subscription, Transport, TransportSeed, UpIndex};
use crate::uptrack::{UpTrack, UpTrackConfig};

/// A wish for one up track, as the command says it.
struct DownTrackWish {
    id: DownTrackId,
    transport: TransportId,
    up_track: UpTrackId,
    kind: MediaKind,
    stream_id: Box<str>,
    track_sid: Box<str>,
    stereo: bool,
    enabled: bool,
    strip_trailer: bool,
}

impl Shard {
    /// False: the command names something that is gone.
    pub(super) fn carry_out(&mut self, now: Instant, command: Command) -> bool {
        match command {
            Command::AddParticipant { room, participant, profile } => {
                self.tables.add_participant(now, room, participant, profile)
            }
            Command::UpdateParticipant { participant, profile } => {
                self.update_participant(participant, profile)
            }
            Command::RemoveParticipant { participant } => self.remove_participant(now, participant),
            Command::OpenTransport { participant, seed } => self.open_transport(now, participant, *seed),
            Command::AcceptOffer { transport, request, offer, publish } => {
                self.accept_offer(now, transport, request, &offer, &publish)
            }
            Command::AcceptAnswer { transport, request, sdp } => {
                self.accept_answer(now, transport, request, &sdp)
            }
            Command::AddDownTrack {
                down_track: id,
                transport,
                up_track,
                kind,
                stream_id,
                track_sid,
                stereo,
                enabled,
                strip_trailer,
            } => {
                let wish = DownTrackWish {
                    id,
                    transport,
                    up_track,
                    kind,
                    stream_id,
                    track_sid,
                    stereo,
                    enabled,
                    strip_trailer,
                };
                self.add_down_track(now, wish)
            }
            Command::SendData { room, kind, payload, destinations } => {
                let room_exists = self.send_data(now, room, kind, &payload, destinations.as_deref());
                self.handle_signals(now);
                room_exists
            }
            Command::AskLastSequence { participant } => self.tell_last_sequence(participant),
            Command::ReplayData { participant, received } => {
                let is_there = self.replay_data(now, participant, &received);
                self.handle_signals(now);
                is_there
            }
            other => self.carry_out_on_one(now, other),
        }
    }

    /// Commands about one transport or track.
    fn carry_out_on_one(&mut self, now: Instant, command: Command) -> bool {
        match command {
            Command::CloseTransport { transport } => {
                self.on_transport(transport, |shard, index| shard.close_transport(now, index))
            }
            Command::AddRemoteCandidate { transport, candidate } => {
                self.on_transport(transport, |shard, index| {
                    let found = shard.transports.get_mut(index);
                    if found.is_some_and(|transport| transport.add_remote_candidate(&candidate)) {
                        shard.touch(index);
                    } else {
                        shard.counters.candidates_ignored += 1;
                        shard.schedule_transport(index);
                    }
                })
            }
            Command::RestartIce { transport } => self.on_transport(transport, |shard, index| {
                if let Some(transport) = shard.transports.get_mut(index) {
                    transport.restart_ice(now);
                    shard.touch(index);
                }
            }),
            Command::MuteUpTrack { up_track, muted } => match self.tables.up_index.get(&up_track).copied() {
                Some(index) => {
                    self.mute_up_track(now, index, muted);
                    self.want_allocations_for(index);
                    true
                }
                None => false,
            },
            Command::CloseUpTrack { up_track } => match self.tables.up_index.get(&up_track).copied() {
                Some(index) => {
                    self.close_up_track(now, index);
                    true
                }
                None => false,
            },
            Command::EnableDownTrack { down_track, enabled } => {
                match self.tables.down_index.get(&down_track).copied() {
                    Some(index) => {
                        self.enable_down_track(now, index, enabled);
                        true
                    }
                    None => false,
                }
            }
            Command::SetDownTrackLayers { down_track, max_spatial, max_fps } => {
                match self.tables.down_index.get(&down_track).copied() {
                    Some(index) => {
                        let wanted = Wanted { max_spatial, max_fps: NonZeroU16::new(max_fps) };
                        self.limit_down_track(now, index, wanted);
                        true
                    }
                    None => false,
                }
            }
            Command::SetDownTrackPriority { down_track, priority } => {
                self.set_down_track_priority(down_track, priority)
            }
            Command::AllowPause { transport, allowed } => {
                self.on_transport(transport, |shard, index| shard.allow_pause(index, allowed))
            }
            Command::SimulateRate { transport, rate_bps } => {
                self.on_transport(transport, |shard, index| shard.simulate_rate(index, rate_bps))
            }
            Command::MoveDownTrack { down_track, up_track } => {
                self.move_down_track(now, down_track, up_track)
            }
            Command::RemoveDownTrack { down_track } => self.remove_down_track(now, down_track),
            Command::Snapshot { request, transport } => self.on_transport(transport, |shard, index| {
                if let Some(transport) = shard.transports.get(index) {
                    shard.events.push_back(Event::Snapshot { request, json: transport.snapshot() });
                }
            }),
            // The rest is carried out above.
            other => self.carry_out_on_data_track(&other),
        }
    }

    /// Calls with the index of a transport that is there.
    fn on_transport(&mut self, id: TransportId, call: impl FnOnce(&mut Self, TransportIndex)) -> bool {
        match self.index_of(id) {
            Some(index) => {
                call(self, index);
                true
            }
            None => false,
        }
    }

    fn index_of(&mut self, id: TransportId) -> Option<TransportIndex> {
        let index = self.transport_index.get(&id).copied()?;
        if !self.transports.contains(index) {
            self.transport_index.remove(&id);
            self.note_slip("id of no transport");
            return None;
        }
        Some(index)
    }

    fn update_participant(&mut self, id: ParticipantId, profile: DataProfile) -> bool {
        let index = self.tables.participant_index.get(&id).copied();
        match index.and_then(|index| self.tables.participants.get_mut(index)) {
            Some(participant) => {
                participant.profile = profile;
                true
            }
            None => false,
        }
    }

    fn remove_participant(&mut self, now: Instant, id: ParticipantId) -> bool {
        let Some(index) = self.tables.participant_index.get(&id).copied() else { return false };
        let Some(participant) = self.tables.participants.get_mut(index) else {
            self.tables.participant_index.remove(&id);
            self.note_slip("id of no participant");
            return false;
        };
        for transport in std::mem::take(&mut participant.transports) {
            self.close_transport(now, transport);
        }
        self.tables.remove_participant(index);
        true
    }

    fn open_transport(&mut self, now: Instant, participant: ParticipantId, seed: TransportSeed) -> bool {
        let Some(owner) = self.tables.participant_index.get(&participant).copied() else { return false };
        if self.transport_index.contains_key(&seed.id) {
            return false;
        }
        if !self.tables.participants.contains(owner) {
            self.note_slip("id of no participant");
            return false;
        }
        let id = seed.id;
        let mut transport = Transport::new(now, owner, seed, self.config.time_of_day);
        let ufrag = transport.local_ufrag();
        let index = self.transports.insert(transport);
        self.transport_index.insert(id, index);
        self.demux.add_ufrag(index, &ufrag);
        if let Some(participant) = self.tables.participants.get_mut(owner) {
            participant.transports.push(index);
        }
        self.choose_data_transport(owner);
        self.touch(index);
        true
    }

    fn accept_offer(
        &mut self,
        now: Instant,
        id: TransportId,
        request: RequestId,
        offer: &RemoteOffer,
        publish: &[PublishLine],
    ) -> bool {
        self.on_transport(id, |shard, index| {
            let Some(transport) = shard.transports.get_mut(index) else { return };
            match transport.accept_offer(now, offer, publish) {
                Ok(negotiated) => {
                    let ufrag = transport.local_ufrag();
                    shard.demux.add_ufrag(index, &ufrag);
                    shard.publish(index, publish);
                    let Negotiated { sdp, mid_to_track, bound, .. } = negotiated;
                    shard.events.push_back(Event::Answer { transport: id, request, sdp, mid_to_track });
                    for line in bound {
                        shard.bind_down_track(now, line);
                    }
                    shard.touch(index);
                }
                Err(error) => shard.refuse(now, index, request, &error),
            }
        })
    }

    fn accept_answer(&mut self, now: Instant, id: TransportId, request: RequestId, sdp: &str) -> bool {
        let Some(index) = self.index_of(id) else { return false };
        let Some(transport) = self.transports.get_mut(index) else { return false };
        let Some(applied) = transport.accept_answer(now, request, sdp) else { return false };
        match applied {
            Ok(Negotiated { bound, refused, .. }) => {
                let ufrag = transport.local_ufrag();
                self.demux.add_ufrag(index, &ufrag);
                for line in bound {
                    self.bind_down_track(now, line);
                }
                for down in refused {
                    self.report_unsupported(down);
                }
                self.touch(index);
            }
            Err(error) => self.refuse(now, index, request, &error),
        }
        true
    }

    /// A description of the peer was not applied.
    fn refuse(&mut self, now: Instant, index: TransportIndex, request: RequestId, error: &NegotiationError) {
        let Some(transport) = self.transports.get(index).map(|transport| transport.id) else { return };
        self.events.push_back(Event::NegotiationFailed { transport, request, reason: error.to_string() });
        if *error == NegotiationError::Fault {
            self.fail_transport(now, index, TransportFailure::Fault);
        }
    }

    /// Binds the sending lines of an offer to up tracks; lines that are not named any more lose theirs.
    fn publish(&mut self, index: TransportIndex, publish: &[PublishLine]) {
        let participant = self.transports.get(index).map(|transport| transport.participant);
        let participant = participant.and_then(|participant| self.tables.participants.get(participant));
        let Some(room) = participant.map(|participant| participant.room) else {
            return self.note_slip("transport without participant");
        };
        let mut published: Vec<(Mid, UpIndex)> = Vec::with_capacity(publish.len());
        for line in publish {
            let kind = self.transports.get(index).and_then(|transport| transport.kind_of(&line.mid));
            let up = self.up_track(line.up_track, kind.unwrap_or(MediaKind::Video));
            let Some(entry) = self.tables.ups.get_mut(up) else {
                self.note_slip("id of no up track");
                continue;
            };
            let is_elsewhere = entry.origin.is_some_and(|origin| origin.transport != index);
            if is_elsewhere || published.iter().any(|(_, taken)| *taken == up) {
                continue; // an up track has one line; packets of another are nobody's
            }
            entry.origin = Some(Origin { room, transport: index });
            entry.is_muted = line.muted;
            if kind == Some(MediaKind::Audio) {
                entry.reception.get_or_insert_default();
            }
            entry.trailer.clone_from(&line.trailer);
            entry.is_speaker = line.speaker;
            published.push((Mid::from(&*line.mid), up));
        }
        if let Some(transport) = self.transports.get_mut(index) {
            transport.published = published;
        }
    }

    fn up_track(&mut self, id: UpTrackId, kind: MediaKind) -> UpIndex {
        let pli_throttle = self.config.pli_throttle;
        let make =
            || UpTrack::new(UpTrackConfig { clock_rate_hz: default_clock_rate_hz(kind), pli_throttle });
        self.tables.up_or_insert(id, make)
    }

    fn add_down_track(&mut self, now: Instant, wish: DownTrackWish) -> bool {
        let Some(transport) = self.index_of(wish.transport) else { return false };
        if self.transports.get(transport).is_none_or(|found| found.role == TransportRole::Publisher) {
            return false; // it only receives: the subscriber transport went before this command came
        }
        let up = self.up_track(wish.up_track, wish.kind);
        let entry = DownEntry {
            id: wish.id,
            up,
            transport,
            kind: wish.kind,
            is_enabled: wish.enabled,
            strips_trailer: wish.strip_trailer,
            wanted: Wanted::ALL,
            max_temporal: u8::MAX,
            granted: None,
            is_paused: false,
            priority: u16::MAX,
            next: None,
            binding: None,
        };
        let Some(down) = self.tables.add_down(entry) else { return false };
        let subscription = Subscription {
            down,
            kind: wish.kind,
            stream_id: wish.stream_id,
            track_sid: wish.track_sid,
            stereo: wish.stereo,
        };
        if let Some(found) = self.transports.get_mut(transport) {
            found.add_subscription(now, subscription);
        }
        self.schedule_transport(transport);
        true
    }

    fn set_down_track_priority(&mut self, id: DownTrackId, priority: u16) -> bool {
        let down = self.tables.down_index.get(&id).and_then(|down| self.tables.downs.get_mut(*down));
        let Some(down) = down else { return false };
        down.priority = priority;
        let transport = down.transport;
        self.want_allocation(transport);
        true
    }

    fn move_down_track(&mut self, now: Instant, id: DownTrackId, up_track: UpTrackId) -> bool {
        let Some(index) = self.tables.down_index.get(&id).copied() else { return false };
        let Some(kind) = self.tables.downs.get(index).map(|down| down.kind) else { return false };
        let up = self.up_track(up_track, kind);
        if self.can_wait(now, index, up) {
            self.tables.move_down_later(index, up);
            self.request_coming_key_frame(now, index);
            return true;
        }
        self.tables.move_down(index, up);
        self.has_moved(now, index);
        self.request_wanted_key_frame(now, up, index);
        true
    }

    fn remove_down_track(&mut self, now: Instant, id: DownTrackId) -> bool {
        let Some(index) = self.tables.down_index.get(&id).copied() else { return false };
        self.end_down_track(now, index);
        true
    }

    fn end_down_track(&mut self, now: Instant, index: usize) {
        let last_frames = self.last_frames(now, index);
        let binding = self.tables.unbind_down(index);
        let Some(down) = self.tables.remove_down(index) else { return };
        if let (Some(last_frames), Some(binding)) = (last_frames, binding)
            && self.fade(now, (index, down.transport), binding, last_frames)
        {
            return; // its subscription ends when they are sent
        }
        if let Some(transport) = self.transports.get_mut(down.transport) {
            transport.end_subscription(now, index);
            self.schedule_transport(down.transport);
            self.want_allocation(down.transport);
        }
    }

    /// Ends an up track with its down tracks.
    pub(super) fn close_up_track(&mut self, now: Instant, index: UpIndex) {
        for down in self.tables.downs_of(index) {
            if self.tables.finish_move(down) {
                self.has_moved(now, down);
            } else {
                self.end_down_track(now, down);
            }
        }
        let origin = self.tables.ups.get(index).and_then(|up| up.origin);
        if let Some(transport) = origin.and_then(|origin| self.transports.get_mut(origin.transport)) {
            transport.unpublish(index);
        }
        self.tables.remove_up(index);
        self.gathering.retain(|gathering| *gathering != index);
    }
}
