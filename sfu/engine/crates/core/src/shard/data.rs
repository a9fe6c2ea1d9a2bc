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
use crate::room::ParticipantIndex;
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
        let sender = self.transports[index].participant;
        let taken = self.transports[index]
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
        if !self.tables.rooms[participant.room].nonces.accept(&packet.nonce) {
            return Err(DropReason::DuplicateData);
        }
        Ok((kind, packet))
    }

    fn fan_out_data(&mut self, now: Instant, sender: ParticipantIndex, kind: DataKind, packet: &Restamped) {
        let room = self.tables.participants[sender].room;
        let receivers: Vec<ParticipantIndex> =
            self.receivers(room, &packet.destinations).filter(|receiver| *receiver != sender).collect();
        for receiver in receivers {
            self.deliver(now, receiver, kind, &packet.payload);
        }
    }

    fn receivers(&self, room: usize, to: &Destinations) -> impl Iterator<Item = ParticipantIndex> {
        let participants = &self.tables.participants;
        self.tables.rooms[room].participants.iter().copied().filter(move |index| {
            let profile = &participants[*index].profile;
            to.is_everybody() || to.includes(&profile.identity, &profile.sid)
        })
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
            destinations.is_none_or(|ids| ids.contains(&self.tables.participants[*index].id))
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
        match self.transports[index].send_data(now, kind, payload, &mut self.counters) {
            Ok(()) => self.touch(index),
            // Closed when the signals are dealt with: the room's tables are being walked.
            Err(ReceiverStuck) => self.signals.push((index, Signal::Stuck)),
        }
    }

    /// Chooses where a participant receives data: on the transport that we offer, else on the only one it has.
    pub(super) fn choose_data_transport(&mut self, participant: ParticipantIndex) {
        let Some(participant) = self.tables.participants.get_mut(participant) else { return };
        let preference = |index: &TransportIndex| match self.transports[*index].role {
            TransportRole::Subscriber => 2,
            TransportRole::Both => 1,
            TransportRole::Publisher => 0,
        };
        participant.data_transport = participant.transports.iter().copied().max_by_key(preference);
    }
}
