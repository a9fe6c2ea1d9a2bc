//! Data packets: from a participant or the server to whom they are meant for. Never reads more of a packet than the
//! envelope; never lets one slow receiver hold up the others.

use std::sync::Arc;
use std::time::Instant;

use str0m::channel::ChannelId;

use super::Shard;
use crate::command::{DataKind, TransportRole};
use crate::data::{Destinations, Restamped, restamp, wrap_raw};
use crate::demux::TransportIndex;
use crate::drop_reason::DropReason;
use crate::ids::{ParticipantId, RoomId};
use crate::room::{ParticipantIndex, Room};
use crate::transport::{ChannelUse, ReceiverStuck, Signal};

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
        let taken = transport
            .channel_use(channel)
            .ok_or(DropReason::ChannelNotOpen)
            .and_then(|channel_use| self.check_data(now, sender, channel_use, payload));
        match taken {
            Ok((kind, packet)) => self.fan_out_data(now, sender, kind, &packet),
            Err(reason) => self.counters.count_drop(reason),
        }
    }

    fn check_data(
        &mut self,
        now: Instant,
        sender: ParticipantIndex,
        channel_use: ChannelUse,
        payload: &[u8],
    ) -> Result<(DataKind, Restamped), DropReason> {
        let limit = self.config.data_messages_per_s;
        let participant = self.tables.participants.get_mut(sender).ok_or(DropReason::DataNotPermitted)?;
        if limit.is_some_and(|limit| !participant.rate.accept(now, limit)) {
            return Err(DropReason::DataRateExceeded);
        }
        let (kind, packet) = match channel_use {
            ChannelUse::Packets(kind) => (kind, restamp(payload, kind, &participant.profile)?),
            ChannelUse::Raw(kind) => (kind, wrap_raw(payload, kind, &participant.profile)?),
            ChannelUse::DataTrack => return Err(DropReason::DataKindNotForwarded),
        };
        if kind == DataKind::Reliable && !participant.sequences.accept(packet.sequence) {
            return Err(DropReason::DuplicateData);
        }
        let room = self.tables.rooms.get_mut(participant.room).ok_or(DropReason::DataNotPermitted)?;
        if !room.nonces.accept(&packet.nonce) {
            return Err(DropReason::DuplicateData);
        }
        Ok((kind, packet))
    }

    fn fan_out_data(&mut self, now: Instant, sender: ParticipantIndex, kind: DataKind, packet: &Restamped) {
        let room = self.tables.participants.get(sender).map(|participant| participant.room);
        let Some(room) = room.and_then(|room| self.tables.rooms.get(room)) else {
            return self.note_slip("participant without room");
        };
        let receivers: Vec<ParticipantIndex> =
            self.receivers(room, &packet.destinations).filter(|receiver| *receiver != sender).collect();
        for receiver in receivers {
            self.deliver(now, receiver, kind, &packet.payload);
        }
    }

    fn receivers(&self, room: &Room, to: &Destinations) -> impl Iterator<Item = ParticipantIndex> {
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

    fn deliver(&mut self, now: Instant, receiver: ParticipantIndex, kind: DataKind, payload: &Arc<[u8]>) {
        let target =
            self.tables.participants.get(receiver).and_then(|participant| participant.data_transport);
        let Some(index) = target else {
            self.counters.count_drop(DropReason::ChannelNotOpen);
            return;
        };
        let Some(transport) = self.transports.get_mut(index) else {
            return self.note_slip("data for no transport");
        };
        match transport.send_data(now, kind, payload, &mut self.counters) {
            Ok(()) => self.touch(index),
            // Closed when the signals are dealt with: the room's tables are being walked.
            Err(ReceiverStuck) => self.signals.push((index, Signal::Stuck)),
        }
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
