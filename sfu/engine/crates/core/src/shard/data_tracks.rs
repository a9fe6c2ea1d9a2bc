//! Data track packets: from their publisher to everybody who subscribes, each under the handle that this subscriber
//! knows. A packet that cannot leave at once is dropped with the rest of its frame, for that subscriber alone.

use std::time::Instant;

use super::Shard;
use crate::command::Command;
use crate::data::{FrameGate, TrackHeader, set_handle};
use crate::drop_reason::DropReason;
use crate::room::{ParticipantIndex, Tables};

impl Shard {
    /// Commands about data tracks. False: the command names something that is gone.
    pub(super) fn carry_out_on_data_track(&mut self, command: &Command) -> bool {
        let Tables { data_tracks, participant_index, .. } = &mut self.tables;
        match *command {
            Command::AddDataUpTrack { data_up_track, participant, handle } => participant_index
                .get(&participant)
                .is_some_and(|publisher| data_tracks.publish(data_up_track, *publisher, handle)),
            Command::CloseDataUpTrack { data_up_track } => data_tracks.close(data_up_track),
            Command::AddDataDownTrack {
                data_down_track,
                data_up_track,
                participant,
                handle,
                frames_per_s,
            } => {
                let gate = FrameGate::new(frames_per_s);
                participant_index.get(&participant).is_some_and(|subscriber| {
                    data_tracks.subscribe(data_down_track, data_up_track, *subscriber, handle, gate)
                })
            }
            Command::SetDataDownTrackRate { data_down_track, frames_per_s } => {
                data_tracks.set_rate(data_down_track, frames_per_s)
            }
            Command::RemoveDataDownTrack { data_down_track } => data_tracks.unsubscribe(data_down_track),
            _ => false, // the rest is carried out elsewhere
        }
    }

    /// Forwards one packet. Returns how many subscribers the track has.
    pub(super) fn forward_track_packet(
        &mut self,
        now: Instant,
        sender: ParticipantIndex,
        packet: &[u8],
    ) -> Result<usize, DropReason> {
        let header = TrackHeader::parse(packet)?;
        let Tables { data_tracks, participants, .. } = &mut self.tables;
        if !participants.get(sender).is_some_and(|sender| sender.profile.can_publish_data) {
            return Err(DropReason::DataNotPermitted);
        }
        let links = data_tracks.links_of(sender, header.handle).ok_or(DropReason::UnknownDataTrack)?;
        self.track_packet.clear();
        self.track_packet.extend_from_slice(packet);
        for link in &mut *links {
            let target = participants.get(link.subscriber).and_then(|subscriber| subscriber.data_transport);
            let found = target.and_then(|index| Some((index, self.transports.get_mut(index)?)));
            let Some((index, transport)) = found else {
                self.counters.count_drop(DropReason::ChannelNotOpen);
                continue;
            };
            if let Err(reason) = link.gate.admit(now, &header, || transport.may_begin_frame(packet.len())) {
                self.counters.count_drop(reason);
                continue;
            }
            set_handle(&mut self.track_packet, link.handle);
            match transport.send_track_packet(now, &self.track_packet, &mut self.counters) {
                Ok(()) if transport.is_touched => {}
                Ok(()) => {
                    transport.is_touched = true;
                    self.touched.push(index);
                }
                Err(reason) => {
                    link.gate.abandon(header.frame, reason);
                    self.counters.count_drop(reason);
                }
            }
        }
        Ok(links.len())
    }
}
