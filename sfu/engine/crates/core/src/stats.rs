//! Totals of a shard: plain numbers, copied out by the driver once per tick or less.

use crate::drop_reason::DropReason;
use crate::quality::Quality;

/// Totals since the start of the shard, except where a field says that it is a current number.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Counters {
    /// RTP packets received.
    pub packets_in: u64,
    /// RTP packets forwarded.
    pub packets_out: u64,
    /// Bytes of received datagrams.
    pub bytes_in: u64,
    /// Bytes of sent datagrams.
    pub bytes_out: u64,
    /// Datagrams received.
    pub datagrams_in: u64,
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// NACK feedback received from subscribers.
    pub nacks: u64,
    /// Picture loss indications received from subscribers.
    pub plis: u64,
    /// Full intra requests received from subscribers.
    pub firs: u64,
    /// Packets sent again.
    pub retransmitted: u64,
    /// Lost packets of publishers that were found in the redundancy of later ones.
    pub recovered: u64,
    /// Frames of silence and blank pictures of the server's own that were sent.
    pub blanks_out: u64,
    /// Packets that waited before they were sent, so that they came in no burst.
    pub paced: u64,
    /// Probes of a path's rate.
    pub probes: u64,
    /// Bytes sent as padding of probes.
    pub padding_bytes: u64,
    /// Work that RTCP of peers has caused, in steps of about one packet looked up.
    pub feedback_steps: u64,
    /// Requests for lost packets that were not kept, because too many waited.
    pub resends_refused: u64,
    /// Changes of the estimated rate of a transport.
    pub rate_changes: u64,
    /// Those of them that came because more was sent than the path bears.
    pub congestions: u64,
    /// Data messages received.
    pub data_messages_in: u64,
    /// Data messages delivered to a channel.
    pub data_messages_out: u64,
    /// Commands that named something that is gone.
    pub stale_commands: u64,
    /// Remote candidates that were bad, unusable or too many.
    pub candidates_ignored: u64,
    /// Table entries that named something that is gone: a bug of ours that cost one track or message.
    pub inconsistent_tables: u64,
    /// Divisions of a subscriber's rate among its tracks.
    pub allocations: u64,
    /// Current number of down tracks that are paused for want of rate.
    pub paused_down_tracks: u64,
    /// Current number of transports.
    pub transports: u64,
    /// Current number of up tracks.
    pub up_tracks: u64,
    /// Current number of down tracks.
    pub down_tracks: u64,
    /// Ratings of participants with media, one for each and window.
    pub ratings: RatingCounts,
    dropped: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// All zero.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            packets_in: 0,
            packets_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            datagrams_in: 0,
            datagrams_out: 0,
            nacks: 0,
            plis: 0,
            firs: 0,
            retransmitted: 0,
            recovered: 0,
            blanks_out: 0,
            paced: 0,
            probes: 0,
            padding_bytes: 0,
            feedback_steps: 0,
            resends_refused: 0,
            rate_changes: 0,
            congestions: 0,
            data_messages_in: 0,
            data_messages_out: 0,
            stale_commands: 0,
            candidates_ignored: 0,
            inconsistent_tables: 0,
            allocations: 0,
            paused_down_tracks: 0,
            transports: 0,
            up_tracks: 0,
            down_tracks: 0,
            ratings: RatingCounts::new(),
            dropped: [0; DropReason::ALL.len()],
        }
    }

    /// Counts one drop.
    pub fn count_drop(&mut self, reason: DropReason) {
        self.dropped[reason as usize] += 1;
    }

    /// Counts several drops for one reason.
    pub fn count_drops(&mut self, reason: DropReason, packets: u64) {
        self.dropped[reason as usize] += packets;
    }

    /// Drops for one reason.
    #[must_use]
    pub const fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }
}

/// How often participants were rated how.
#[derive(Debug, Clone)]
pub struct RatingCounts {
    /// In the order of [`Quality::ALL`].
    pub by_quality: [u64; Quality::ALL.len()],
    /// By mean opinion score: each those up to its bound in [`Self::SCORES`] that are not in the one before.
    pub by_score: [u64; Self::SCORES.len()],
    /// Thousandths of all scores together.
    pub score_sum_milli: u64,
}

impl RatingCounts {
    /// Upper bounds of the classes of scores.
    pub const SCORES: [f32; 10] = [1.0, 2.0, 2.5, 3.0, 3.25, 3.5, 3.75, 4.0, 4.25, 4.5];

    const fn new() -> Self {
        Self { by_quality: [0; Quality::ALL.len()], by_score: [0; Self::SCORES.len()], score_sum_milli: 0 }
    }

    pub(crate) fn count(&mut self, quality: Quality, score: f32) {
        self.by_quality[quality as usize] += 1;
        let class = Self::SCORES.iter().position(|bound| score <= *bound).unwrap_or(Self::SCORES.len() - 1);
        self.by_score[class] += 1;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 4.5")]
        let milli = (score * 1_000.0).round() as u64;
        self.score_sum_milli += milli;
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}
