//! The data tracks of one shard: who publishes which handle, and who gets it under which. Plain data with the few
//! operations that keep it consistent. Publishers and subscribers are named by their index, so that whoever removes a
//! participant must have it forgotten here before the index serves again.

use rustc_hash::FxHashMap;
use slab::Slab;

use super::ParticipantIndex;
use crate::data::FrameGate;
use crate::ids::{DataDownTrackId, DataUpTrackId};

/// One published data track with its fan-out.
#[derive(Debug)]
struct DataUp {
    publisher: ParticipantIndex,
    handle: u16,
    links: Vec<DataLink>,
}

/// One subscription of a data track.
#[derive(Debug)]
pub(crate) struct DataLink {
    id: DataDownTrackId,
    pub(crate) subscriber: ParticipantIndex,
    /// The track's name in the packets that the subscriber gets.
    pub(crate) handle: u16,
    pub(crate) gate: FrameGate,
}

/// What goes with a participant.
#[derive(Debug, Default)]
struct Owned {
    published: Vec<DataUpTrackId>,
    subscribed: Vec<DataDownTrackId>,
}

/// All data tracks of a shard.
#[derive(Debug, Default)]
pub(crate) struct DataTracks {
    ups: Slab<DataUp>,
    up_index: FxHashMap<DataUpTrackId, usize>,
    by_handle: FxHashMap<(ParticipantIndex, u16), usize>,
    /// Which up track each down track is of.
    downs: FxHashMap<DataDownTrackId, usize>,
    owned: FxHashMap<ParticipantIndex, Owned>,
}

impl DataTracks {
    /// A participant publishes a data track. False: the id or the handle is taken.
    pub(crate) fn publish(&mut self, id: DataUpTrackId, publisher: ParticipantIndex, handle: u16) -> bool {
        if self.up_index.contains_key(&id) || self.by_handle.contains_key(&(publisher, handle)) {
            return false;
        }
        let index = self.ups.insert(DataUp { publisher, handle, links: Vec::new() });
        self.up_index.insert(id, index);
        self.by_handle.insert((publisher, handle), index);
        self.owned.entry(publisher).or_default().published.push(id);
        true
    }

    /// A data track ends with its subscriptions. False: there is none.
    pub(crate) fn close(&mut self, id: DataUpTrackId) -> bool {
        let up = self.up_index.remove(&id).and_then(|index| self.ups.try_remove(index));
        let Some(up) = up else { return false };
        self.by_handle.remove(&(up.publisher, up.handle));
        self.disown(up.publisher, |owned| owned.published.retain(|other| *other != id));
        for link in up.links {
            self.downs.remove(&link.id);
            self.disown(link.subscriber, |owned| owned.subscribed.retain(|other| *other != link.id));
        }
        true
    }

    /// A participant gets a data track. False: the track is gone, or the id is taken.
    pub(crate) fn subscribe(
        &mut self,
        id: DataDownTrackId,
        up: DataUpTrackId,
        subscriber: ParticipantIndex,
        handle: u16,
        gate: FrameGate,
    ) -> bool {
        let Some(index) = self.up_index.get(&up).copied().filter(|_| !self.downs.contains_key(&id)) else {
            return false;
        };
        let Some(up) = self.ups.get_mut(index) else { return false };
        up.links.push(DataLink { id, subscriber, handle, gate });
        self.downs.insert(id, index);
        self.owned.entry(subscriber).or_default().subscribed.push(id);
        true
    }

    /// Changes how many frames a second a subscription gets. False: there is none.
    pub(crate) fn set_rate(&mut self, id: DataDownTrackId, frames_per_s: Option<u32>) -> bool {
        let up = self.downs.get(&id).and_then(|index| self.ups.get_mut(*index));
        let link = up.and_then(|up| up.links.iter_mut().find(|link| link.id == id));
        link.map(|link| link.gate.set_rate(frames_per_s)).is_some()
    }

    /// A subscription ends. False: there is none.
    pub(crate) fn unsubscribe(&mut self, id: DataDownTrackId) -> bool {
        let Some(up) = self.downs.remove(&id).and_then(|index| self.ups.get_mut(index)) else { return false };
        let Some(position) = up.links.iter().position(|link| link.id == id) else { return false };
        let link = up.links.swap_remove(position);
        self.disown(link.subscriber, |owned| owned.subscribed.retain(|other| *other != id));
        true
    }

    /// All that a participant publishes and gets ends.
    pub(crate) fn forget_participant(&mut self, participant: ParticipantIndex) {
        let Some(owned) = self.owned.remove(&participant) else { return };
        for id in owned.subscribed {
            self.unsubscribe(id);
        }
        for id in owned.published {
            self.close(id);
        }
    }

    /// Who gets what a participant sends under a handle; `None`: it publishes no such track.
    pub(crate) fn links_of(&mut self, publisher: ParticipantIndex, handle: u16) -> Option<&mut [DataLink]> {
        let index = self.by_handle.get(&(publisher, handle))?;
        self.ups.get_mut(*index).map(|up| up.links.as_mut_slice())
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.ups.is_empty()
            && self.up_index.is_empty()
            && self.by_handle.is_empty()
            && self.downs.is_empty()
            && self.owned.is_empty()
    }

    fn disown(&mut self, participant: ParticipantIndex, change: impl FnOnce(&mut Owned)) {
        let Some(owned) = self.owned.get_mut(&participant) else { return };
        change(owned);
        if owned.published.is_empty() && owned.subscribed.is_empty() {
            self.owned.remove(&participant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAM: DataUpTrackId = DataUpTrackId(10);
    const ARM: DataUpTrackId = DataUpTrackId(11);
    const FIRST: DataDownTrackId = DataDownTrackId(20);
    const SECOND: DataDownTrackId = DataDownTrackId(21);

    fn handles(tracks: &mut DataTracks, publisher: ParticipantIndex, handle: u16) -> Option<Vec<u16>> {
        tracks.links_of(publisher, handle).map(|links| links.iter().map(|link| link.handle).collect())
    }

    #[test]
    fn each_publisher_has_its_own_handles() {
        let mut tracks = DataTracks::default();
        assert!(tracks.publish(CAM, 0, 1) && tracks.publish(ARM, 1, 1));
        assert!(!tracks.publish(CAM, 0, 2) && !tracks.publish(DataUpTrackId(12), 0, 1));
        assert!(tracks.subscribe(FIRST, CAM, 2, 100, FrameGate::default()));
        assert!(tracks.subscribe(SECOND, ARM, 2, 101, FrameGate::default()));
        assert!(!tracks.subscribe(SECOND, CAM, 2, 102, FrameGate::default()));
        assert_eq!(handles(&mut tracks, 0, 1), Some(vec![100]));
        assert_eq!(handles(&mut tracks, 1, 1), Some(vec![101]));
        assert_eq!(handles(&mut tracks, 2, 1), None);
        assert!(tracks.set_rate(FIRST, Some(3)) && !tracks.set_rate(DataDownTrackId(9), None));
        assert!(tracks.unsubscribe(FIRST) && !tracks.unsubscribe(FIRST));
        assert!(tracks.close(CAM) && tracks.close(ARM) && !tracks.close(ARM));
        assert!(tracks.is_empty());
    }

    #[test]
    fn nothing_of_a_forgotten_participant_is_left() {
        for gone in 0..3 {
            let mut tracks = DataTracks::default();
            assert!(tracks.publish(CAM, 0, 1) && tracks.publish(ARM, 1, 1));
            assert!(tracks.subscribe(FIRST, CAM, 1, 7, FrameGate::default()));
            assert!(tracks.subscribe(SECOND, CAM, 2, 7, FrameGate::default()));
            tracks.forget_participant(gone);
            assert_eq!(handles(&mut tracks, 0, 1).map(|all| all.len()), [None, Some(1), Some(1)][gone]);
            (0..3).for_each(|other| tracks.forget_participant(other));
            assert!(tracks.is_empty());
        }
    }
}
