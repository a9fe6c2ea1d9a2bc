//! What the estimation of a path and the division of its rate say to each other. No logic.

/// What a transport knows of the rate at which its peer can be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateEstimate {
    /// Bits per second, all that we send counted.
    pub total_bps: u64,
    /// Whether more was seen to be lost or queued than the path bears: allocate again at once.
    pub is_congested: bool,
}

/// What the allocator wants of a transport: bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateGoal {
    /// What is allocated now.
    pub allocated_bps: u64,
    /// What all wanted layers would need.
    pub wanted_bps: u64,
    /// What the next step up needs in total, or what is allocated without proof; equals `allocated_bps` when nothing is
    /// missing and the estimate shows it: then no probing.
    pub next_bps: u64,
}

/// By what the rate towards a peer is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateFeedback {
    /// By nothing: everything is sent.
    Off,
    /// By the peer's own estimate (REMB) and by what it reports as lost.
    #[default]
    Receiver,
    /// By when each of our packets arrives (transport-wide congestion control).
    TransportWide,
}
