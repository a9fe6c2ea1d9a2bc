//! Data packets: from a participant or the server to whom they are meant for. Never reads more of a packet than the
//! envelope; never lets one slow receiver stop the others.
//!
//! Reliable data to a slow receiver, in the order in which things happen as its backlog grows:
//! - It waits in the receiver's queue. Beyond half of the queue's limit the receiver counts as behind, which makes each
//!   further message dearer for its sender (`data::SendBudget`). A sender that has used up its budget is not heard for
//!   a moment, so that its association slows down and nothing is lost: the pace of the whole is then the receiver's, but
//!   never less than a tenth of what a sender may send.
//! - The queue is full although the receiver reads: it is slower than that. What does not fit is dropped for it alone
//!   (`reliable_queue_full`), its lossy data before that.
//! - The queue is full and the receiver has taken nothing for five seconds: it is closed, so that its client connects
//!   anew in place of missing messages unawares.
//!
//! A fast sender can thus neither disconnect those who read slowly nor fill the server's memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use str0m::channel::ChannelId;

use super::{Shard, TimerKey};
use crate::command::{DataKind, TransportRole};
use crate::data::{KEPT, Lookup, Restamped, Returned, restamp, wrap_raw};
use crate::demux::TransportIndex;
use crate::drop_reason::DropReason;
use crate::event::Event;
use crate::ids::{ParticipantId, RoomId};
use crate::room::{ParticipantIndex, Room};
use crate::transport::{ChannelUse, Pace, Signal};

/// How a message fared.
#[derive(Debug, Default)]
struct Delivered {
    receivers: usize,
    /// One of them has a long backlog.
    is_behind: bool,
}

impl Shard {
    /// Takes in one message from a participant's channel.
    pub(super) fn take_in_data(
        &mut self,
        now: Instant,
        index: TransportIndex,
        channel: ChannelId,
        payload: &[u8],
    ) {
        self.counters.data_messages_in += 1;
        let Some(transport) = self.transports.get(index) else { return };
        let sender = transport.participant;
        let forwarded = match transport.channel_use(channel) {
            Some(ChannelUse::Packets(kind)) => self.forward_packet(now, sender, kind, false, payload),
            Some(ChannelUse::Raw(kind)) => self.forward_packet(now, sender, kind, true, payload),
            Some(ChannelUse::DataTrack) => {
                let receivers = self.forward_track_packet(now, sender, payload);
                receivers.map(|receivers| Delivered { receivers, is_behind: false })
            }
            None => Err(DropReason::ChannelNotOpen),
        };
        let delivered = forwarded.unwrap_or_else(|reason| {
            self.counters.count_drop(reason);
            Delivered::default()
        });
        let limits = self.config.data_limits;
        if let Some(participant) = self.tables.participants.get_mut(sender) {
            let Delivered { receivers, is_behind } = delivered;
            participant.budget.charge(now, limits, payload.len(), receivers, is_behind);
        }
    }

    /// Whether a datagram carries data, of a participant who has sent too much. Left out, it will come again; so will
    /// the acknowledgements that go the same way.
    pub(super) fn must_wait(&self, index: TransportIndex, datagram: &[u8]) -> bool {
        // DTLS application data: RFC 6347 §4.1 and, encrypted with its type, RFC 9147 §4.
        let Some(23 | 32..=63) = datagram.first() else { return false };
        let transport = self.transports.get(index).filter(|transport| transport.is_connected());
        let sender = transport.and_then(|transport| self.tables.participants.get(transport.participant));
        sender.is_some_and(|sender| sender.budget.is_overdrawn(self.now))
    }

    fn forward_packet(
        &mut self,
        now: Instant,
        sender: ParticipantIndex,
        kind: DataKind,
        is_raw: bool,
        payload: &[u8],
    ) -> Result<Delivered, DropReason> {
        let packet = self.check_data(sender, kind, is_raw, payload)?;
        let delivered = self.fan_out_data(now, sender, kind, &packet);
        self.keep_for_replay(now, sender, kind, packet);
        Ok(delivered)
    }

    fn check_data(
        &mut self,
        sender: ParticipantIndex,
        kind: DataKind,
        is_raw: bool,
        payload: &[u8],
    ) -> Result<Restamped, DropReason> {
        let participant = self.tables.participants.get_mut(sender).ok_or(DropReason::DataNotPermitted)?;
        let wrap = if is_raw { wrap_raw } else { restamp };
        let packet = wrap(payload, kind, &participant.profile)?;
        if kind == DataKind::Reliable && !participant.sequences.accept(packet.sequence) {
            return Err(DropReason::DuplicateData);
        }
        let room = self.tables.rooms.get_mut(participant.room).ok_or(DropReason::DataNotPermitted)?;
        if !room.nonces.accept(&packet.nonce) {
            return Err(DropReason::DuplicateData);
        }
        Ok(packet)
    }

    fn fan_out_data(
        &mut self,
        now: Instant,
        sender: ParticipantIndex,
        kind: DataKind,
        packet: &Restamped,
    ) -> Delivered {
        let room = self.tables.participants.get(sender).map(|participant| participant.room);
        let Some(room) = room.and_then(|room| self.tables.rooms.get(room)) else {
            self.note_slip("participant without room");
            return Delivered::default();
        };
        let receivers: Vec<ParticipantIndex> = self
            .receivers(room, &packet.destinations.lookup())
            .filter(|receiver| *receiver != sender)
            .collect();
        let mut delivered = Delivered { receivers: receivers.len(), is_behind: false };
        for receiver in receivers {
            delivered.is_behind |= self.deliver(now, receiver, kind, &packet.payload) == Pace::Behind;
        }
        delivered
    }

    /// Keeps a reliable packet for receivers that are away. Without a sid they could not tell it from another.
    pub(super) fn keep_for_replay(
        &mut self,
        now: Instant,
        sender: ParticipantIndex,
        kind: DataKind,
        packet: Restamped,
    ) {
        let Some(participant) = self.tables.participants.get_mut(sender) else { return };
        if kind == DataKind::Reliable && !participant.profile.hidden {
            participant.sent.keep(now, packet.sequence, packet.destinations, packet.payload);
            self.schedule_forgetting(now, sender);
        }
    }

    /// What is kept of a sender that falls silent goes too, within twice the time.
    pub(super) fn schedule_forgetting(&mut self, now: Instant, sender: ParticipantIndex) {
        let Some(participant) = self.tables.participants.get_mut(sender) else { return };
        if !participant.sent.is_empty() {
            self.timers.schedule(TimerKey::Sent(sender), now + KEPT, &mut participant.sent_scheduled);
        }
    }

    /// Says which reliable packet arrived last. False: the participant is gone.
    pub(super) fn tell_last_sequence(&mut self, id: ParticipantId) -> bool {
        let index = self.tables.participant_index.get(&id).copied();
        let found = index.and_then(|index| self.tables.participants.get(index));
        let Some(sequence) = found.map(|participant| participant.sequences.last()) else { return false };
        self.events.push_back(Event::LastSequence { participant: id, sequence });
        true
    }

    /// Sends a participant what it has missed of the others, as far as it can take it. False: it is gone.
    pub(super) fn replay_data(&mut self, now: Instant, id: ParticipantId, known: &[(Box<str>, u32)]) -> bool {
        let Some(receiver) = self.tables.participant_index.get(&id).copied() else { return false };
        let Some(returned) = self.tables.participants.get(receiver) else { return false };
        let (profile, joined_at) = (returned.profile.clone(), returned.joined_at);
        let room = self.tables.rooms.get(returned.room);
        let senders = room.map(|room| room.participants.clone()).unwrap_or_default();
        let last: HashMap<&str, u32> = known.iter().map(|(sid, sequence)| (&**sid, *sequence)).collect();
        for sender in senders.into_iter().filter(|sender| *sender != receiver) {
            let Some(sender) = self.tables.participants.get_mut(sender) else { continue };
            let sequence = last.get(&*sender.profile.sid).copied().unwrap_or_default();
            let returned = Returned { identity: &profile.identity, sid: &profile.sid, joined_at };
            for payload in sender.sent.after(now, sequence, returned) {
                if self.hand_over(now, receiver, DataKind::Reliable, &payload).is_err() {
                    return true; // it was away: that it took nothing for a while is no reason to close it
                }
            }
        }
        true
    }

    fn receivers(&self, room: &Room, to: &Lookup<'_>) -> impl Iterator<Item = ParticipantIndex> {
        let is_meant = move |index: &ParticipantIndex| {
            let participant = self.tables.participants.get(*index);
            participant.is_some_and(|one| to.includes(&one.profile.identity, &one.profile.sid))
        };
        room.participants.iter().copied().filter(is_meant)
    }

    /// Sends a packet of the server's own. False: the room is gone.
    pub(super) fn send_data(
        &mut self,
        now: Instant,
        room: RoomId,
        kind: DataKind,
        payload: &Arc<[u8]>,
        destinations: Option<&[ParticipantId]>,
    ) -> bool {
        let Some(room) = self.tables.room_index.get(&room).and_then(|room| self.tables.rooms.get(*room))
        else {
            return false;
        };
        let is_meant = |index: &ParticipantIndex| {
            let id = self.tables.participants.get(*index).map(|participant| participant.id);
            destinations.is_none_or(|ids| id.is_some_and(|id| ids.contains(&id)))
        };
        let receivers: Vec<ParticipantIndex> = room.participants.iter().copied().filter(is_meant).collect();
        for receiver in receivers {
            self.deliver(now, receiver, kind, payload);
        }
        true
    }

    fn deliver(
        &mut self,
        now: Instant,
        receiver: ParticipantIndex,
        kind: DataKind,
        payload: &Arc<[u8]>,
    ) -> Pace {
        self.hand_over(now, receiver, kind, payload).unwrap_or_else(|index| {
            // Closed when the signals are dealt with: the room's tables are being walked.
            self.signals.push((index, Signal::Stuck));
            Pace::Keeps
        })
    }

    /// Queues a message for one receiver; on an error, its transport is stuck.
    fn hand_over(
        &mut self,
        now: Instant,
        receiver: ParticipantIndex,
        kind: DataKind,
        payload: &Arc<[u8]>,
    ) -> Result<Pace, TransportIndex> {
        let target =
            self.tables.participants.get(receiver).and_then(|participant| participant.data_transport);
        let Some(index) = target else {
            self.counters.count_drop(DropReason::ChannelNotOpen);
            return Ok(Pace::Keeps);
        };
        let Some(transport) = self.transports.get_mut(index) else {
            self.note_slip("data for no transport");
            return Ok(Pace::Keeps);
        };
        let pace = transport.send_data(now, kind, payload, &mut self.counters).map_err(|_| index)?;
        self.touch(index);
        Ok(pace)
    }

    /// Chooses where a participant receives data: on the transport that we offer, else on the only one it has.
    pub(super) fn choose_data_transport(&mut self, participant: ParticipantIndex) {
        let Some(participant) = self.tables.participants.get_mut(participant) else { return };
        let preference = |index: &TransportIndex| match self.transports.get(*index)?.role {
            TransportRole::Subscriber => Some(2),
            TransportRole::Both => Some(1),
            TransportRole::Publisher => Some(0),
        };
        let usable = participant.transports.iter().copied().filter(|index| preference(index).is_some());
        participant.data_transport = usable.max_by_key(preference);
    }
}
