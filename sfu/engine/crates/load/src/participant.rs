//! One participant: signalling and its one or two associations.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use plenum_io::net::ReceiveBatch;
use str0m::media::MediaKind;

use crate::args::{Arguments, JoinMode};
use crate::association::{Association, NewLine};
use crate::error::LoadError;
use crate::publisher::{Publisher, add_track_requests};
use crate::signal::Signal;
use crate::tally::Tally;
use crate::token;
use crate::wire::{
    LeaveRequest, Ping, Request, Response, SessionDescription, TARGET_PUBLISHER, TARGET_SUBSCRIBER,
    TrickleRequest,
};

const PING_INTERVAL: Duration = Duration::from_secs(4);
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Lines on which a participant of the single mode is ready to receive from the start, as SDKs have them.
const FIRST_LINES: usize = 3;

/// Which of a participant's descriptors is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Socket {
    Signal,
    /// The association that the client offers.
    Ours,
    /// The association that the server offers (dual mode).
    Theirs,
}

/// What an offer is to add.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    audios: u32,
    videos: u32,
    tracks: bool,
}

pub(crate) struct Participant {
    arguments: Arc<Arguments>,
    signal: Signal,
    ours: Option<Association>,
    theirs: Option<Association>,
    publisher: Option<Publisher>,
    /// Tracks that the server has not confirmed yet.
    unconfirmed: usize,
    offers_sent: u32,
    /// What the next offer is to have; it waits while another one is under way.
    wanted: Option<Wanted>,
    /// Candidates that came before their association, with its target.
    early_candidates: Vec<(i32, String)>,
    next_ping: Instant,
    /// From the begin of joining until the transport was connected.
    pub(crate) began: Instant,
    pub(crate) connect_time: Option<Duration>,
}

impl Participant {
    /// Joins; waits for the upgrade but not for what follows.
    pub(crate) fn join(
        arguments: &Arc<Arguments>,
        room: &str,
        identity: &str,
        publishes: bool,
    ) -> Result<Self, LoadError> {
        let began = Instant::now();
        let token = token::mint(&arguments.key, &arguments.secret, room, identity);
        let mut ours = None;
        let mut offers_sent = 0;
        let mut offer = None;
        if arguments.mode == JoinMode::Single {
            let mut association = Association::new(LOOPBACK, began)?;
            let receiving = [MediaKind::Audio, MediaKind::Video].map(|kind| NewLine { kind, track: None });
            let lines: Vec<NewLine<'_>> = receiving.iter().copied().cycle().take(2 * FIRST_LINES).collect();
            offer = association.offer(&lines, true).map(|sdp| description("offer", sdp, 1));
            offers_sent = 1;
            ours = Some(association);
        }
        let signal = Signal::open(&arguments.url, &token, arguments.mode, offer)?;
        Ok(Self {
            arguments: Arc::clone(arguments),
            signal,
            ours,
            theirs: None,
            publisher: publishes.then(|| Publisher::new(arguments)),
            unconfirmed: 0,
            offers_sent,
            wanted: None,
            early_candidates: Vec::new(),
            next_ping: began + PING_INTERVAL,
            began,
            connect_time: None,
        })
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }

    pub(crate) fn association(&self, which: Socket) -> Option<&Association> {
        match which {
            Socket::Signal => None,
            Socket::Ours => self.ours.as_ref(),
            Socket::Theirs => self.theirs.as_ref(),
        }
    }

    pub(crate) fn next_timeout(&self, now: Instant) -> Instant {
        let associations = self.associations().map(Association::next_timeout);
        let publisher =
            self.publisher.as_ref().filter(|_| self.sends()).and_then(|source| source.next_due(now));
        associations.chain(publisher).fold(self.next_ping, Instant::min)
    }

    /// Takes what has arrived at one socket; may open an association.
    pub(crate) fn take_readiness(
        &mut self,
        which: Socket,
        now: Instant,
        batch: &mut ReceiveBatch,
    ) -> Result<(), LoadError> {
        match which {
            Socket::Signal => {
                while let Some(response) = self.signal.poll()? {
                    self.take_response(response, now)?;
                }
            }
            Socket::Ours => receive(self.ours.as_mut(), now, batch)?,
            Socket::Theirs => receive(self.theirs.as_mut(), now, batch)?,
        }
        self.note_connected(now);
        Ok(())
    }

    /// Runs what is due.
    pub(crate) fn run(&mut self, now: Instant) -> Result<(), LoadError> {
        let sends = self.sends();
        if let (Some(publisher), Some(association)) = (&mut self.publisher, &mut self.ours)
            && sends
            && publisher.next_due(now).is_some_and(|due| due <= now)
        {
            publisher.run(association, now);
            association.run(now)?;
        }
        for association in [&mut self.ours, &mut self.theirs].into_iter().flatten() {
            if association.next_timeout() <= now {
                association.run(now)?;
            }
        }
        if self.next_ping <= now {
            self.next_ping = now + PING_INTERVAL;
            let timestamp = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(0);
            self.signal.send(Request::Ping(Ping { timestamp }))?;
        }
        self.note_connected(now);
        Ok(())
    }

    /// Whether the association on which it waits for media (or sends them) is up.
    pub(crate) fn is_connected(&self) -> bool {
        self.connect_time.is_some()
    }

    /// Everything received since the last call of `reset_tally`.
    pub(crate) fn tally(&mut self) -> Tally {
        let mut sum = Tally::default();
        for association in [&mut self.ours, &mut self.theirs].into_iter().flatten() {
            sum.merge(association.tally());
        }
        sum
    }

    /// Packets that were lost on the way to it since then.
    pub(crate) fn lost(&mut self) -> u64 {
        [&mut self.ours, &mut self.theirs]
            .into_iter()
            .flatten()
            .map(|association| association.tally().lost())
            .sum()
    }

    /// Streams of which something arrived since then.
    pub(crate) fn stream_count(&mut self) -> usize {
        let associations = [&mut self.ours, &mut self.theirs].into_iter().flatten();
        associations.map(|association| association.tally().stream_count()).sum()
    }

    pub(crate) fn publishes(&self) -> bool {
        self.publisher.is_some()
    }

    /// Whether something has arrived of every track of every publisher, when all are in one room, and of the data.
    pub(crate) fn receives_all(&mut self) -> bool {
        let tracks = add_track_requests(&self.arguments).len() * self.arguments.publishers;
        let messages = self.tally().messages > 0 || self.arguments.data_rate == 0;
        messages && self.stream_count() >= tracks
    }

    pub(crate) fn reset_tally(&mut self) {
        for association in [&mut self.ours, &mut self.theirs].into_iter().flatten() {
            *association.tally() = Tally::default();
        }
    }

    /// Leaves politely.
    pub(crate) fn leave(&mut self, now: Instant) {
        for association in [&mut self.ours, &mut self.theirs].into_iter().flatten() {
            association.close(now);
        }
        // The server may have gone first.
        let _ = self.signal.send(Request::Leave(LeaveRequest { reason: 1 }));
        let _ = self.signal.close();
    }

    fn associations(&self) -> impl Iterator<Item = &Association> {
        [&self.ours, &self.theirs].into_iter().flatten()
    }

    fn sends(&self) -> bool {
        self.ours.as_ref().is_some_and(Association::is_connected)
    }

    fn note_connected(&mut self, now: Instant) {
        if self.connect_time.is_some() {
            return;
        }
        let needed = match self.arguments.mode {
            JoinMode::Single => &self.ours,
            JoinMode::Dual if self.publisher.is_some() => &self.ours,
            JoinMode::Dual => &self.theirs,
        };
        if needed.as_ref().is_some_and(Association::is_connected) {
            self.connect_time = Some(now.saturating_duration_since(self.began));
        }
    }

    fn take_response(&mut self, response: Response, now: Instant) -> Result<(), LoadError> {
        match response {
            Response::Join(_) => self.begin_publishing(now),
            Response::TrackPublished(_) => {
                self.unconfirmed = self.unconfirmed.saturating_sub(1);
                if self.unconfirmed == 0 { self.want(0, 0, true, now) } else { Ok(()) }
            }
            Response::Offer(offer) => self.answer(&offer, now),
            Response::Answer(answer) => {
                let Some(ours) = &mut self.ours else { return Ok(()) };
                ours.take_answer(&answer.sdp)?;
                ours.run(now)?;
                self.offer_wanted(now)
            }
            Response::Trickle(trickle) => {
                self.take_candidate(&trickle);
                Ok(())
            }
            Response::MediaSectionsRequirement(required) => {
                self.want(required.num_audios, required.num_videos, false, now)
            }
            Response::Leave(leave) => Err(LoadError::Left { reason: leave.reason }),
        }
    }

    fn begin_publishing(&mut self, now: Instant) -> Result<(), LoadError> {
        if self.publisher.is_none() {
            return Ok(());
        }
        let requests = add_track_requests(&self.arguments);
        self.unconfirmed = requests.len();
        if requests.is_empty() {
            // Data alone needs an association too.
            return if self.ours.is_none() { self.want(0, 0, true, now) } else { Ok(()) };
        }
        requests.into_iter().try_for_each(|request| self.signal.send(Request::AddTrack(request)))
    }

    /// Adds to the next offer: lines to receive on (the server has a use for those there are when none are asked for)
    /// and our tracks, which the server has confirmed.
    fn want(&mut self, audios: u32, videos: u32, tracks: bool, now: Instant) -> Result<(), LoadError> {
        let wanted = self.wanted.get_or_insert_default();
        wanted.audios = wanted.audios.max(audios);
        wanted.videos = wanted.videos.max(videos);
        wanted.tracks |= tracks;
        self.offer_wanted(now)
    }

    fn offer_wanted(&mut self, now: Instant) -> Result<(), LoadError> {
        if self.ours.as_ref().is_some_and(Association::has_pending_offer) {
            return Ok(());
        }
        let Some(wanted) = self.wanted.take() else { return Ok(()) };
        let requests = if wanted.tracks { add_track_requests(&self.arguments) } else { Vec::new() };
        let tracks = requests.iter().map(|request| NewLine {
            kind: if request.kind == 1 { MediaKind::Video } else { MediaKind::Audio },
            track: Some(&request.cid),
        });
        let receiving = |kind: MediaKind, count: u32| (0..count).map(move |_| NewLine { kind, track: None });
        let lines: Vec<NewLine<'_>> = tracks
            .chain(receiving(MediaKind::Audio, wanted.audios))
            .chain(receiving(MediaKind::Video, wanted.videos))
            .collect();
        let channels = self.ours.is_none();
        if self.ours.is_none() {
            self.ours = Some(self.open(TARGET_PUBLISHER, now)?);
        }
        let Some(ours) = &mut self.ours else { return Ok(()) };
        let Some(sdp) = ours.offer(&lines, channels) else { return Ok(()) };
        self.offers_sent += 1;
        self.signal.send(Request::Offer(description("offer", sdp, self.offers_sent)))?;
        ours.run(now)
    }

    fn answer(&mut self, offer: &SessionDescription, now: Instant) -> Result<(), LoadError> {
        if self.theirs.is_none() {
            self.theirs = Some(self.open(TARGET_SUBSCRIBER, now)?);
        }
        let Some(theirs) = &mut self.theirs else { return Ok(()) };
        let sdp = theirs.answer(&offer.sdp)?;
        self.signal.send(Request::Answer(description("answer", sdp, offer.id)))?;
        theirs.run(now)
    }

    fn take_candidate(&mut self, trickle: &TrickleRequest) {
        let Ok(parsed) = serde_json::from_str::<serde_json::Value>(&trickle.candidate_init) else { return };
        let Some(candidate) = parsed["candidate"].as_str() else { return };
        let target = if trickle.target == TARGET_SUBSCRIBER { &mut self.theirs } else { &mut self.ours };
        match target {
            Some(association) => association.add_remote_candidate(candidate),
            None => self.early_candidates.push((trickle.target, candidate.to_owned())),
        }
    }

    /// Opens an association that is not there yet; `target` as in `TrickleRequest`.
    fn open(&mut self, target: i32, now: Instant) -> Result<Association, LoadError> {
        let mut association = Association::new(LOOPBACK, now)?;
        for (_, candidate) in self.early_candidates.iter().filter(|(found, _)| *found == target) {
            association.add_remote_candidate(candidate);
        }
        self.early_candidates.retain(|(found, _)| *found != target);
        Ok(association)
    }
}

fn receive(
    association: Option<&mut Association>,
    now: Instant,
    batch: &mut ReceiveBatch,
) -> Result<(), LoadError> {
    association.map_or(Ok(()), |association| association.receive(now, batch))
}

fn description(kind: &str, sdp: String, id: u32) -> SessionDescription {
    SessionDescription { kind: kind.to_owned(), sdp, id }
}
