//! One direction of a path: loss, damage, duplication, a queue before a rate, reordering, delay, jitter, blackouts,
//! all from a seed.
//!
//! Sans-IO: [`Link::push`] and [`Link::poll`] are told the time and read no clock, so that the same link runs in
//! virtual time and in a router. All times of a packet follow from when it was pushed; how often the link is polled
//! changes nothing. The same seed and the same pushes give the same run. Loss, damage, duplication, reordering and jitter
//! draw from streams of their own: which packets are lost does not depend on the other settings.

mod config;
mod random;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

pub use config::{JitterShape, LinkConfig, LinkCounters, QueueLimit};
use random::Random;

/// What a link can carry.
pub trait Packet: Clone {
    /// Its size on the link: what rate and queue count.
    fn bytes(&self) -> usize;

    /// Changes one byte: flips the bits `change` at `position`, which is below [`Packet::bytes`].
    fn damage(&mut self, position: usize, change: u8);
}

impl Packet for Vec<u8> {
    fn bytes(&self) -> usize {
        self.len()
    }

    fn damage(&mut self, position: usize, change: u8) {
        if let Some(byte) = self.get_mut(position) {
            *byte ^= change;
        }
    }
}

/// What became of a packet at the moment it was pushed; later it can no longer be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is inside and will arrive.
    Taken,
    /// Dropped by [`LinkConfig::loss`].
    Lost,
    /// Dropped: the link is down.
    BlackedOut,
    /// Dropped: too much waits for the transmitter.
    QueueFull,
}

/// A packet at the far end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival<P> {
    /// When it came out. Not after the time of the poll; the difference is how late it was polled.
    pub due: Instant,
    /// The packet.
    pub packet: P,
}

/// One direction.
#[derive(Debug, Clone)]
pub struct Link<P> {
    /// Its behaviour. May be changed at any time at which all that was due has been polled; else use
    /// [`Link::set_config`].
    pub config: LinkConfig,
    counters: LinkCounters,
    randoms: Randoms,
    is_in_burst: bool,
    steps: VecDeque<(Instant, LinkConfig)>,
    blackouts: Vec<(Instant, Instant)>,
    /// In transmission, and when that ends.
    sending: Option<(Instant, P)>,
    waiting: VecDeque<P>,
    waiting_bytes: usize,
    held: Vec<Held<P>>,
    in_flight: BinaryHeap<Reverse<InFlight<P>>>,
    last_arrival: Option<Instant>,
    order: u64,
}

/// One stream for each kind of choice.
#[derive(Debug, Clone)]
struct Randoms {
    loss: Random,
    damage: Random,
    duplication: Random,
    reorder: Random,
    jitter: Random,
}

/// Held back until enough packets have overtaken it.
#[derive(Debug, Clone)]
struct Held<P> {
    until: Instant,
    overtakers: u32,
    packet: P,
}

#[derive(Debug, Clone)]
struct InFlight<P> {
    due: Instant,
    order: u64,
    packet: P,
}

impl<P> InFlight<P> {
    const fn key(&self) -> (Instant, u64) {
        (self.due, self.order)
    }
}

impl<P> PartialEq for InFlight<P> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<P> Eq for InFlight<P> {}

impl<P> PartialOrd for InFlight<P> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> Ord for InFlight<P> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// What happens inside a link by the passing of time.
enum Happening {
    Step,
    Sent,
    Released(usize),
}

impl<P: Packet> Link<P> {
    /// An empty link whose choices follow from `seed`.
    #[must_use]
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        Self {
            config,
            counters: LinkCounters::default(),
            randoms: Randoms {
                loss: Random::new(seed, 1),
                damage: Random::new(seed, 2),
                duplication: Random::new(seed, 3),
                reorder: Random::new(seed, 4),
                jitter: Random::new(seed, 5),
            },
            is_in_burst: false,
            steps: VecDeque::new(),
            blackouts: Vec::new(),
            sending: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            held: Vec::new(),
            in_flight: BinaryHeap::new(),
            last_arrival: None,
            order: 0,
        }
    }

    /// Behaves otherwise from `now` on. What has left the transmitter arrives as it would have before.
    pub fn set_config(&mut self, now: Instant, config: LinkConfig) {
        self.advance(now);
        self.config = config;
    }

    /// Behaves otherwise from `at` on: [`Link::set_config`] then. Of two steps for one time the later scheduled holds.
    pub fn schedule(&mut self, at: Instant, config: LinkConfig) {
        let position = self.steps.partition_point(|(other, _)| *other <= at);
        self.steps.insert(position, (at, config));
    }

    /// Nothing that enters from `from` on for `length` arrives; what is inside does. Blackouts may overlap.
    pub fn schedule_blackout(&mut self, from: Instant, length: Duration) {
        self.blackouts.push((from, from + length));
    }

    /// A packet enters. `now` must not be before the time of any earlier call.
    pub fn push(&mut self, now: Instant, mut packet: P) -> Verdict {
        self.advance(now);
        self.counters.entered += 1;
        self.counters.entered_bytes += packet.bytes() as u64;
        let is_lost = self.draws_loss();
        if self.is_down(now) {
            self.counters.blacked_out += 1;
            return Verdict::BlackedOut;
        }
        if is_lost {
            self.counters.lost += 1;
            return Verdict::Lost;
        }
        self.damage(&mut packet);
        let copy = self.randoms.duplication.chance(self.config.duplication).then(|| packet.clone());
        let verdict = self.enqueue(now, packet);
        if let Some(copy) = copy {
            self.counters.duplicated += 1;
            self.enqueue(now, copy);
        }
        verdict
    }

    /// Takes the next packet that has come out by `now`, in the order of arrival.
    pub fn poll(&mut self, now: Instant) -> Option<Arrival<P>> {
        self.advance(now);
        if self.in_flight.peek()?.0.due > now {
            return None;
        }
        self.pop()
    }

    /// Takes all that is inside at once, in the order in which it would have come out.
    pub fn take_all(&mut self) -> Vec<Arrival<P>> {
        while let Some((at, _)) = self.next_happening() {
            self.advance(at);
        }
        std::iter::from_fn(|| self.pop()).collect()
    }

    /// When the link is to be polled again; `None`: not before the next push.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        let sent = self.sending.as_ref().map(|(at, _)| *at);
        let released = self.held.iter().map(|held| held.until).min();
        let due = self.in_flight.peek().map(|Reverse(flight)| flight.due);
        [sent, released, due].into_iter().flatten().min()
    }

    /// What has happened so far.
    #[must_use]
    pub const fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// Packets inside: waiting, in transmission, held back, under way.
    #[must_use]
    pub fn inside(&self) -> usize {
        self.waiting.len() + usize::from(self.sending.is_some()) + self.held.len() + self.in_flight.len()
    }

    /// Bytes that wait for the transmitter, the packet in transmission included.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.waiting_bytes + self.sending.as_ref().map_or(0, |(_, packet)| packet.bytes())
    }

    fn is_down(&mut self, now: Instant) -> bool {
        self.blackouts.retain(|(_, until)| *until > now);
        self.blackouts.iter().any(|(from, _)| *from <= now)
    }

    /// Whether the next packet is lost (Gilbert 1960, the good state without and the bad one with nothing but loss).
    fn draws_loss(&mut self) -> bool {
        let LinkConfig { loss, loss_burst_packets: burst, .. } = self.config;
        if burst < 1.0 || loss >= 1.0 {
            self.is_in_burst = false;
            return self.randoms.loss.chance(loss);
        }
        // Good to bad so that the share of time in the bad state is `loss`.
        let turns = if self.is_in_burst { 1.0 / burst } else { loss / (burst * (1.0 - loss)) };
        self.is_in_burst ^= self.randoms.loss.chance(turns);
        self.is_in_burst
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    fn damage(&mut self, packet: &mut P) {
        if !self.randoms.damage.chance(self.config.damage) || packet.bytes() == 0 {
            return;
        }
        let position = (self.randoms.damage.fraction() * packet.bytes() as f64) as usize;
        let change = 1 + (self.randoms.damage.fraction() * 255.0) as u8;
        packet.damage(position, change);
        self.counters.damaged += 1;
    }

    fn enqueue(&mut self, now: Instant, packet: P) -> Verdict {
        if self.sending.is_none() {
            self.send(now, packet);
            // Without a rate its transmission is over at once.
            self.advance(now);
            return Verdict::Taken;
        }
        if !self.has_room(now, packet.bytes()) {
            self.counters.queue_full += 1;
            return Verdict::QueueFull;
        }
        self.waiting_bytes += packet.bytes();
        self.waiting.push_back(packet);
        self.note_queue();
        Verdict::Taken
    }

    fn has_room(&self, now: Instant, bytes: usize) -> bool {
        match self.config.queue {
            QueueLimit::Bytes(limit) => self.queued_bytes() + bytes <= limit,
            QueueLimit::Time(limit) => {
                let sent = self.sending.as_ref().map_or(Duration::ZERO, |(at, _)| *at - now);
                sent + transmission(self.waiting_bytes, self.config.rate_bps) <= limit
            }
        }
    }

    fn send(&mut self, at: Instant, packet: P) {
        let ends = at + transmission(packet.bytes(), self.config.rate_bps);
        self.sending = Some((ends, packet));
        self.note_queue();
    }

    fn note_queue(&mut self) {
        if self.config.rate_bps.is_some() {
            self.counters.queue_peak_bytes = self.counters.queue_peak_bytes.max(self.queued_bytes());
        }
    }

    /// The next thing that time alone brings about, and when.
    fn next_happening(&self) -> Option<(Instant, Happening)> {
        let step = self.steps.front().map(|(at, _)| (*at, Happening::Step));
        let sent = self.sending.as_ref().map(|(at, _)| (*at, Happening::Sent));
        let released = self.held.iter().enumerate().min_by_key(|(_, held)| held.until);
        let released = released.map(|(index, held)| (held.until, Happening::Released(index)));
        [step, sent, released].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Lets everything happen that is due by `now`, each at its own time.
    fn advance(&mut self, now: Instant) {
        while let Some((at, happening)) = self.next_happening().filter(|(at, _)| *at <= now) {
            match happening {
                Happening::Step => {
                    if let Some((_, config)) = self.steps.pop_front() {
                        self.config = config;
                    }
                }
                Happening::Sent => self.finish_sending(at),
                Happening::Released(index) => {
                    let held = self.held.remove(index);
                    self.launch(at, at, held.packet);
                }
            }
        }
    }

    fn finish_sending(&mut self, at: Instant) {
        let Some((_, packet)) = self.sending.take() else { return };
        if let Some(next) = self.waiting.pop_front() {
            self.waiting_bytes -= next.bytes();
            self.send(at, next);
        }
        let LinkConfig { reorder, reorder_packets: overtakers, reorder_wait, .. } = self.config;
        if self.randoms.reorder.chance(reorder) && overtakers > 0 {
            self.counters.reordered += 1;
            self.held.push(Held { until: at + reorder_wait, overtakers, packet });
            return;
        }
        let due = self.launch(at, at, packet);
        for held in &mut self.held {
            held.overtakers = held.overtakers.saturating_sub(1);
        }
        while let Some(index) = self.held.iter().position(|held| held.overtakers == 0) {
            let held = self.held.remove(index);
            self.launch(at, due, held.packet);
        }
    }

    /// Puts a packet on its way at `at`, to arrive not before `earliest`; returns when it arrives.
    fn launch(&mut self, at: Instant, earliest: Instant, packet: P) -> Instant {
        let mut due = (at + self.draw_delay()).max(earliest);
        if self.config.keeps_order {
            due = self.last_arrival.map_or(due, |last| last.max(due));
        }
        self.last_arrival = self.last_arrival.max(Some(due));
        self.order += 1;
        self.in_flight.push(Reverse(InFlight { due, order: self.order, packet }));
        due
    }

    fn draw_delay(&mut self) -> Duration {
        let LinkConfig { delay, jitter, jitter_shape, .. } = self.config;
        let random = &mut self.randoms.jitter;
        match jitter_shape {
            _ if jitter.is_zero() => delay,
            JitterShape::Uniform => delay + jitter.mul_f64(random.fraction()),
            JitterShape::Exponential => delay + jitter.mul_f64(random.exponential()),
            JitterShape::Normal => {
                let seconds = delay.as_secs_f64() + jitter.as_secs_f64() * random.normal();
                Duration::from_secs_f64(seconds.max(0.0))
            }
        }
    }

    fn pop(&mut self) -> Option<Arrival<P>> {
        let Reverse(InFlight { due, packet, .. }) = self.in_flight.pop()?;
        self.counters.delivered += 1;
        self.counters.delivered_bytes += packet.bytes() as u64;
        Some(Arrival { due, packet })
    }
}

/// How long a transmitter of that rate needs, rounded up so that the rate is never exceeded.
fn transmission(bytes: usize, rate_bps: Option<u64>) -> Duration {
    let Some(rate_bps) = rate_bps else { return Duration::ZERO };
    let nanos = (bytes as u128 * 8 * 1_000_000_000).div_ceil(u128::from(rate_bps.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
