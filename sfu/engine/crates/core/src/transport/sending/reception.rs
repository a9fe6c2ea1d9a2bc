//! How a stream of ours arrives at its receiver, window by window, from what we sent and what it reports.

use crate::quality::Losses;
use crate::rtcp::ReportBlock;

/// A report this far ahead of the last one is of other numbers.
const MAX_AHEAD: u32 = 1 << 16;

/// Counts of one stream.
#[derive(Debug, Default)]
pub(super) struct Reception {
    /// Packets sent in this window.
    sent: u32,
    highest_sent: Option<u64>,
    /// Numbers passed less packets sent since the last rated report: holes that we have sent on, not made.
    holes: i64,
    /// As of the last rated report.
    rated: Option<Counts>,
    /// As of the newest report.
    reported: Option<Counts>,
}

/// What a report counts.
#[derive(Debug, Clone, Copy)]
struct Counts {
    lost: i32,
    highest_seq: u32,
}

/// What one window showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Packets that we sent.
    pub(crate) sent: u32,
    /// What the receiver says of them; `None`: nothing new.
    pub(crate) losses: Option<Losses>,
}

impl Reception {
    /// Notes a packet by its extended sequence number.
    pub(super) fn note_sent(&mut self, seq: u64) {
        self.sent = self.sent.saturating_add(1);
        self.holes -= 1;
        let Some(highest) = self.highest_sent else {
            self.highest_sent = Some(seq);
            self.holes += 1;
            #[expect(clippy::cast_possible_truncation, reason = "reports count in 32 bits")]
            let before = seq.wrapping_sub(1) as u32;
            self.rated = Some(Counts { lost: 0, highest_seq: before });
            return;
        };
        if seq > highest {
            self.highest_sent = Some(seq);
            self.holes = self.holes.saturating_add(i64::try_from(seq - highest).unwrap_or(i64::MAX));
        }
    }

    /// Notes what the receiver says.
    pub(super) fn note_report(&mut self, block: ReportBlock) {
        self.reported = Some(Counts { lost: block.lost, highest_seq: block.highest_seq });
    }

    /// Ends the window. What the publisher's side had lost already is not this receiver's loss.
    pub(super) fn take(&mut self) -> Received {
        let sent = std::mem::take(&mut self.sent);
        let (Some(before), Some(now)) = (self.rated, self.reported.take()) else {
            return Received { sent, losses: None };
        };
        let expected = now.highest_seq.wrapping_sub(before.highest_seq);
        if expected == 0 {
            return Received { sent, losses: None };
        }
        self.rated = Some(now);
        let holes = std::mem::take(&mut self.holes).max(0);
        if expected > MAX_AHEAD {
            return Received { sent, losses: None };
        }
        let lost = i64::from(now.lost) - i64::from(before.lost) - holes;
        let lost = u32::try_from(lost.max(0)).unwrap_or(u32::MAX).min(expected);
        Received { sent, losses: Some(Losses { expected, lost }) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(reception: &mut Reception, lost: i32, highest_seq: u32) {
        let delay = Duration::ZERO;
        reception.note_report(ReportBlock {
            ssrc: 1,
            fraction_lost: 0,
            lost,
            last_report: 0,
            highest_seq,
            jitter: 0,
            delay,
        });
    }

    fn send(reception: &mut Reception, seqs: impl IntoIterator<Item = u64>) {
        seqs.into_iter().for_each(|seq| reception.note_sent(seq));
    }

    fn losses(reception: &mut Reception) -> Option<(u32, u32)> {
        reception.take().losses.map(|losses| (losses.expected, losses.lost))
    }

    #[test]
    fn losses_are_of_the_window() {
        let mut reception = Reception::default();
        report(&mut reception, 0, 0);
        assert_eq!(losses(&mut reception), None, "nothing was sent");
        send(&mut reception, 65_500..65_600);
        report(&mut reception, 3, 65_549);
        report(&mut reception, 5, 65_589);
        assert_eq!(losses(&mut reception), Some((90, 5)), "the newest report counts");
        send(&mut reception, 65_600..65_700);
        assert_eq!(reception.take(), Received { sent: 100, losses: None }, "no report");
        report(&mut reception, 6, 65_699);
        assert_eq!(losses(&mut reception), Some((110, 1)));
        report(&mut reception, 6, 65_699);
        assert_eq!(losses(&mut reception), None, "nothing new");
    }

    #[test]
    fn holes_that_were_sent_on_are_not_the_receivers_loss() {
        let mut reception = Reception::default();
        send(&mut reception, (1..=100).filter(|seq| seq % 10 != 0));
        send(&mut reception, [50]); // came late from the publisher
        report(&mut reception, 12, 99);
        // Up to 99 nine numbers were holes, and one was filled.
        assert_eq!(losses(&mut reception), Some((99, 4)));
        send(&mut reception, [105]);
        report(&mut reception, 17, 105);
        assert_eq!(losses(&mut reception), Some((6, 0)), "and later ones are counted anew");
    }

    #[test]
    fn liars_do_no_harm() {
        let mut reception = Reception::default();
        send(&mut reception, [1, u64::MAX, 2]);
        for (lost, highest) in
            [(i32::MIN, 0), (i32::MAX, 1), (i32::MIN, u32::MAX), (7, 5), (-8, 9), (100, 11)]
        {
            report(&mut reception, lost, highest);
            let received = reception.take();
            assert!(received.losses.is_none_or(|losses| losses.lost <= losses.expected), "{received:?}");
            send(&mut reception, [3]);
        }
    }
}
