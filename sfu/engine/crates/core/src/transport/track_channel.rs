//! The channel for data track packets of one transport. Bytes in, bytes out: never reads a packet. Nothing waits here:
//! what the association does not take at once is dropped by the caller.

use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::channel::ChannelId;

use crate::data::ChannelPace;
use crate::drop_reason::DropReason;
use crate::stats::Counters;

/// Most that a frame which has begun may make the channel hold; a larger one is cut short on a path that is slower than
/// its publisher.
const MAX_HELD_BYTES: u64 = 256 * 1024;

/// Where a transport's subscriber gets data track packets.
#[derive(Debug)]
pub(super) struct TrackChannel {
    open: Option<(ChannelId, ChannelPace)>,
    target_latency: Duration,
}

impl TrackChannel {
    /// Not open yet; frames may wait about `target_latency` in it, zero: for as long as it takes.
    pub(super) const fn new(target_latency: Duration) -> Self {
        Self { open: None, target_latency }
    }

    pub(super) fn open(&mut self, now: Instant, id: ChannelId) {
        self.open = Some((id, ChannelPace::new(now, self.target_latency)));
    }

    pub(super) fn close(&mut self, id: ChannelId) {
        self.open.take_if(|(open, _)| *open == id);
    }

    /// Sees what has arrived; to be called when the peer was heard.
    pub(super) fn look(&mut self, now: Instant, rtc: &mut Rtc) {
        let Some((id, pace)) = self.open.as_mut().filter(|(_, pace)| pace.held_bytes() > 0) else { return };
        if let Some(mut channel) = rtc.channel(*id) {
            pace.note_held(now, channel.buffered_amount());
        }
    }

    /// Whether a frame may begin, whose first packet has `bytes`.
    pub(super) fn may_begin(&mut self, bytes: usize) -> Result<(), DropReason> {
        let (_, pace) = self.open.as_mut().ok_or(DropReason::ChannelNotOpen)?;
        if pace.may_begin(bytes) { Ok(()) } else { Err(DropReason::DataTrackCongested) }
    }

    /// Sends a packet now or not at all.
    pub(super) fn send(
        &mut self,
        now: Instant,
        rtc: &mut Rtc,
        packet: &[u8],
        counters: &mut Counters,
    ) -> Result<(), DropReason> {
        let (id, pace) = self.open.as_mut().ok_or(DropReason::ChannelNotOpen)?;
        if pace.held_bytes() > MAX_HELD_BYTES {
            return Err(DropReason::DataTrackCongested);
        }
        let mut channel = rtc.channel(*id).ok_or(DropReason::ChannelNotOpen)?;
        match channel.write(true, packet) {
            Ok(true) => {
                pace.note_written(now, packet.len());
                counters.data_messages_out += 1;
                Ok(())
            }
            Ok(false) => Err(DropReason::DataTrackCongested),
            Err(_) => Err(DropReason::ChannelNotOpen),
        }
    }
}
