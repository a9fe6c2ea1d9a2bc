//! Which transport a datagram belongs to: by validated address, else by the ufrag of a STUN request, else nobody's.
//!
//! Never searches, never answers, holds nothing for a sender that has not authenticated. An address is validated when
//! the transport has answered an authenticated connectivity check from it (RFC 8445 §7.3), so neither a DTLS
//! `ClientHello` nor RTP from elsewhere reaches a transport.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use crate::drop_reason::DropReason;
use crate::input::Carrier;

/// Index of a transport in its shard.
pub(crate) type TransportIndex = usize;

/// A peer's address together with how it is reached.
pub(crate) type Path = (Carrier, SocketAddr);

/// Largest datagram taken in, in bytes.
const MAX_DATAGRAM_BYTES: usize = 2_000;
/// Addresses kept per transport; the one that was checked longest ago goes first.
const MAX_PATHS: usize = 16;
/// While an owner's last check from an address is younger than this, nobody else can take the address over.
const OWNER_GRACE: Duration = Duration::from_secs(6);
/// Addresses whose checks a transport answers between two ICE restarts. The association remembers and searches all of
/// them, and each answer goes to whatever address its request claims to come from.
const MAX_SOURCES: usize = 64;
/// Connectivity checks of ours whose answers are awaited, per transport.
const MAX_CHECKS: usize = 64;

const STUN_HEADER_BYTES: usize = 20;
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const STUN_BINDING_REQUEST: u16 = 0x0001;
const STUN_BINDING_SUCCESS: u16 = 0x0101;
const STUN_BINDING_FAILURE: u16 = 0x0111;
const STUN_USERNAME: u16 = 0x0006;

type TransactionId = [u8; 12];

#[derive(Debug)]
struct PathOwner {
    transport: TransportIndex,
    validated_at: Instant,
}

#[derive(Debug, Default)]
struct Known {
    ufrags: Vec<Box<str>>,
    paths: Vec<Path>,
    /// Every address answered in this ICE generation.
    sources: FxHashSet<Path>,
    checks: std::collections::VecDeque<TransactionId>,
}

/// The tables.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    by_path: FxHashMap<Path, PathOwner>,
    by_ufrag: FxHashMap<Box<str>, TransportIndex>,
    by_check: FxHashMap<TransactionId, TransportIndex>,
    known: FxHashMap<TransportIndex, Known>,
    unused_tcp: Vec<SocketAddr>,
}

impl Demux {
    /// Owner of a datagram.
    pub(crate) fn route(&self, path: Path, payload: &[u8]) -> Result<TransportIndex, DropReason> {
        if payload.len() > MAX_DATAGRAM_BYTES {
            return Err(DropReason::Oversized);
        }
        match payload.first() {
            Some(0..=3) => self.route_stun(path, payload),
            // RFC 7983 §7: DTLS, then RTP and RTCP.
            Some(20..=63 | 128..=191) => {
                self.by_path.get(&path).map(|owner| owner.transport).ok_or(DropReason::UnknownSource)
            }
            _ => Err(DropReason::UnknownProtocol),
        }
    }

    fn route_stun(&self, path: Path, payload: &[u8]) -> Result<TransportIndex, DropReason> {
        match stun_target(payload).ok_or(DropReason::MalformedStun)? {
            StunTarget::Request { local_ufrag } => {
                let ufrag = std::str::from_utf8(local_ufrag).map_err(|_| DropReason::UnknownUfrag)?;
                let transport = self.by_ufrag.get(ufrag).copied().ok_or(DropReason::UnknownUfrag)?;
                let is_one_too_many =
                    |known: &Known| known.sources.len() >= MAX_SOURCES && !known.sources.contains(&path);
                if self.known.get(&transport).is_some_and(is_one_too_many) {
                    return Err(DropReason::UnknownSource);
                }
                Ok(transport)
            }
            StunTarget::Response { transaction } => {
                self.by_check.get(&transaction).copied().ok_or(DropReason::UnknownSource)
            }
        }
    }

    /// Makes a transport reachable under a ufrag of ours, beside the ones before (ICE restart).
    pub(crate) fn add_ufrag(&mut self, transport: TransportIndex, ufrag: &str) {
        let known = self.known.entry(transport).or_default();
        if known.ufrags.iter().any(|old| &**old == ufrag) {
            return;
        }
        known.ufrags.push(ufrag.into());
        known.sources.clear();
        self.by_ufrag.insert(ufrag.into(), transport);
        // The current one and the one before: checks of a restart and of the old session overlap.
        if known.ufrags.len() > 2 {
            let oldest = known.ufrags.remove(0);
            self.by_ufrag.remove(&oldest);
        }
    }

    /// Learns from what a transport sends: a success response validates the path, a request will be answered.
    pub(crate) fn observe_transmit(
        &mut self,
        now: Instant,
        transport: TransportIndex,
        path: Path,
        contents: &[u8],
    ) {
        if contents.len() < STUN_HEADER_BYTES || contents[0] > 3 {
            return;
        }
        match u16::from_be_bytes([contents[0], contents[1]]) {
            STUN_BINDING_SUCCESS => self.validate(now, transport, path),
            STUN_BINDING_REQUEST => self.await_check(transport, transaction_of(contents)),
            _ => {}
        }
    }

    fn validate(&mut self, now: Instant, transport: TransportIndex, path: Path) {
        let known = self.known.entry(transport).or_default();
        known.sources.insert(path);
        if let Some(owner) = self.by_path.get_mut(&path) {
            if owner.transport == transport {
                owner.validated_at = now;
                if let Some(position) = known.paths.iter().position(|kept| *kept == path) {
                    known.paths[position..].rotate_left(1);
                }
                return;
            }
            if now.saturating_duration_since(owner.validated_at) < OWNER_GRACE {
                return;
            }
            let loser = owner.transport;
            if let Some(known) = self.known.get_mut(&loser) {
                known.paths.retain(|kept| *kept != path);
            }
        }
        self.by_path.insert(path, PathOwner { transport, validated_at: now });
        let known = self.known.entry(transport).or_default();
        known.paths.push(path);
        if known.paths.len() > MAX_PATHS {
            let oldest = known.paths.remove(0);
            self.forget_path(oldest);
        }
    }

    fn forget_path(&mut self, path: Path) {
        self.by_path.remove(&path);
        if path.0 == Carrier::Tcp {
            self.unused_tcp.push(path.1);
        }
    }

    /// Peers whose TCP connection leads to no transport any more, since the last call.
    pub(crate) fn take_unused_tcp(&mut self) -> Vec<SocketAddr> {
        std::mem::take(&mut self.unused_tcp)
    }

    fn await_check(&mut self, transport: TransportIndex, transaction: TransactionId) {
        let known = self.known.entry(transport).or_default();
        if self.by_check.insert(transaction, transport).is_some() {
            return; // a retransmission
        }
        known.checks.push_back(transaction);
        if known.checks.len() > MAX_CHECKS
            && let Some(oldest) = known.checks.pop_front()
        {
            self.by_check.remove(&oldest);
        }
    }

    /// Forgets a path (its TCP connection is gone).
    pub(crate) fn remove_path(&mut self, path: Path) {
        if let Some(owner) = self.by_path.remove(&path)
            && let Some(known) = self.known.get_mut(&owner.transport)
        {
            known.paths.retain(|kept| *kept != path);
        }
    }

    /// Forgets a transport.
    pub(crate) fn remove_transport(&mut self, transport: TransportIndex) {
        let Some(known) = self.known.remove(&transport) else { return };
        for ufrag in known.ufrags {
            self.by_ufrag.remove(&ufrag);
        }
        for path in known.paths {
            self.forget_path(path);
        }
        for check in known.checks {
            self.by_check.remove(&check);
        }
    }

    /// Whether nothing is remembered.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_path.is_empty()
            && self.by_ufrag.is_empty()
            && self.by_check.is_empty()
            && self.known.is_empty()
    }
}

/// What a STUN message says about its receiver.
#[derive(Debug, PartialEq, Eq)]
enum StunTarget<'a> {
    Request { local_ufrag: &'a [u8] },
    Response { transaction: TransactionId },
}

fn transaction_of(message: &[u8]) -> TransactionId {
    let mut transaction = TransactionId::default();
    transaction.copy_from_slice(&message[8..STUN_HEADER_BYTES]);
    transaction
}

/// Reads just enough of a STUN message (RFC 8489 §5) to find its receiver.
fn stun_target(message: &[u8]) -> Option<StunTarget<'_>> {
    if message.len() < STUN_HEADER_BYTES || message[4..8] != STUN_COOKIE {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([message[2], message[3]]));
    if length % 4 != 0 || message.len() != STUN_HEADER_BYTES + length {
        return None;
    }
    match u16::from_be_bytes([message[0], message[1]]) {
        STUN_BINDING_REQUEST => stun_local_ufrag(&message[STUN_HEADER_BYTES..])
            .map(|local_ufrag| StunTarget::Request { local_ufrag }),
        STUN_BINDING_SUCCESS | STUN_BINDING_FAILURE => {
            Some(StunTarget::Response { transaction: transaction_of(message) })
        }
        _ => None,
    }
}

/// Our part of `USERNAME` (`receiver:sender`, RFC 8445 §7.2.2).
fn stun_local_ufrag(mut attributes: &[u8]) -> Option<&[u8]> {
    while let [type_high, type_low, length_high, length_low, rest @ ..] = attributes {
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let value = rest.get(..length)?;
        if u16::from_be_bytes([*type_high, *type_low]) == STUN_USERNAME {
            let colon = value.iter().position(|byte| *byte == b':')?;
            return Some(&value[..colon]).filter(|ufrag| !ufrag.is_empty());
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(port: u16) -> Path {
        (Carrier::Udp, SocketAddr::from(([192, 0, 2, 1], port)))
    }

    fn stun(kind: u16, username: Option<&str>) -> Vec<u8> {
        let mut attributes = Vec::new();
        if let Some(name) = username {
            attributes.extend(STUN_USERNAME.to_be_bytes());
            attributes.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
            attributes.extend(name.as_bytes());
            attributes.resize(attributes.len().next_multiple_of(4), 0);
        }
        let mut message = kind.to_be_bytes().to_vec();
        message.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
        message.extend(STUN_COOKIE);
        message.extend([9; 12]);
        message.extend(attributes);
        message
    }

    #[test]
    fn media_before_an_answered_check_is_nobodys() {
        let mut demux = Demux::default();
        demux.add_ufrag(3, "abcd");
        assert_eq!(demux.route(path(1), &[22, 254, 253]), Err(DropReason::UnknownSource));
        assert_eq!(demux.route(path(1), &stun(1, Some("abcd:xyz"))), Ok(3));
        assert_eq!(demux.route(path(1), &[22]), Err(DropReason::UnknownSource), "asking validates nothing");
        demux.observe_transmit(Instant::now(), 3, path(1), &stun(STUN_BINDING_SUCCESS, None));
        assert_eq!(demux.route(path(1), &[22]), Ok(3));
        assert_eq!(demux.route(path(2), &[128]), Err(DropReason::UnknownSource));
    }

    #[test]
    fn foreign_and_broken_datagrams_have_their_reasons() {
        let mut demux = Demux::default();
        demux.add_ufrag(0, "abcd");
        for (bytes, reason) in [
            (vec![], DropReason::UnknownProtocol),
            (vec![70, 1, 2], DropReason::UnknownProtocol),
            (vec![0, 1], DropReason::MalformedStun),
            (stun(1, None), DropReason::MalformedStun),
            (stun(1, Some("abcd")), DropReason::MalformedStun),
            (stun(1, Some(":abcd")), DropReason::MalformedStun),
            (stun(3, Some("abcd:e")), DropReason::MalformedStun),
            (stun(1, Some("abce:e")), DropReason::UnknownUfrag),
            (stun(STUN_BINDING_SUCCESS, None), DropReason::UnknownSource),
            (vec![0x80; 2_001], DropReason::Oversized),
        ] {
            assert_eq!(demux.route(path(1), &bytes), Err(reason), "{bytes:?}");
        }
    }

    #[test]
    fn an_address_in_use_cannot_be_taken_over_but_a_quiet_one_can() {
        let mut demux = Demux::default();
        let start = Instant::now();
        let answer = stun(STUN_BINDING_SUCCESS, None);
        demux.observe_transmit(start, 1, path(1), &answer);
        demux.observe_transmit(start + OWNER_GRACE / 2, 2, path(1), &answer);
        assert_eq!(demux.route(path(1), &[128]), Ok(1));
        demux.observe_transmit(start + OWNER_GRACE, 2, path(1), &answer);
        assert_eq!(demux.route(path(1), &[128]), Ok(2));
        demux.remove_transport(1);
        assert_eq!(demux.route(path(1), &[128]), Ok(2), "the loser's end does not touch the new owner");
        demux.remove_transport(2);
        assert!(demux.is_empty());
    }

    #[test]
    fn answers_to_our_checks_find_their_way_by_transaction() {
        let mut demux = Demux::default();
        demux.observe_transmit(Instant::now(), 5, path(9), &stun(STUN_BINDING_REQUEST, Some("x:y")));
        assert_eq!(demux.route(path(9), &stun(STUN_BINDING_SUCCESS, None)), Ok(5));
        demux.remove_transport(5);
        assert!(demux.is_empty());
    }

    #[test]
    fn a_transport_answers_so_many_addresses_and_no_more_until_it_restarts() {
        let mut demux = Demux::default();
        let now = Instant::now();
        demux.add_ufrag(0, "aaaa");
        let ask = |demux: &Demux, port| demux.route(path(port), &stun(1, Some("aaaa:x")));
        let most = u16::try_from(MAX_SOURCES).unwrap();
        for port in 0..most {
            assert_eq!(ask(&demux, port), Ok(0));
            demux.observe_transmit(now, 0, path(port), &stun(STUN_BINDING_SUCCESS, None));
        }
        assert_eq!(ask(&demux, most), Err(DropReason::UnknownSource));
        assert_eq!(ask(&demux, 0), Ok(0), "a known one may ask again");
        demux.add_ufrag(0, "aaaa");
        assert_eq!(ask(&demux, most), Err(DropReason::UnknownSource));
        demux.add_ufrag(0, "bbbb");
        assert_eq!(ask(&demux, most), Ok(0), "a restart begins anew");
        demux.remove_transport(0);
        assert!(demux.is_empty());
    }

    #[test]
    fn the_address_in_use_outlives_those_tried_once() {
        let mut demux = Demux::default();
        let now = Instant::now();
        for port in (0..16).chain([0, 16]) {
            demux.observe_transmit(now, 0, path(port), &stun(STUN_BINDING_SUCCESS, None));
        }
        assert_eq!(demux.route(path(0), &[128]), Ok(0));
        assert_eq!(demux.route(path(1), &[128]), Err(DropReason::UnknownSource));
    }

    #[test]
    fn tcp_connections_that_lost_their_transport_are_named() {
        let mut demux = Demux::default();
        let now = Instant::now();
        let peer = |port| (Carrier::Tcp, path(port).1);
        for port in 0..=16 {
            demux.observe_transmit(now, 0, peer(port), &stun(STUN_BINDING_SUCCESS, None));
            demux.observe_transmit(now, 1, path(port), &stun(STUN_BINDING_SUCCESS, None));
        }
        assert_eq!(demux.take_unused_tcp(), [path(0).1], "the seventeenth pushed the first out");
        demux.remove_path(peer(1));
        assert_eq!(demux.take_unused_tcp(), [], "it is gone already");
        demux.remove_transport(0);
        assert_eq!(demux.take_unused_tcp().len(), 15);
        demux.remove_transport(1);
        assert_eq!(demux.take_unused_tcp(), [], "UDP has no connections");
        assert!(demux.is_empty());
    }

    #[test]
    fn old_ufrags_paths_and_checks_are_forgotten() {
        let mut demux = Demux::default();
        let now = Instant::now();
        for name in ["aaaa", "bbbb", "cccc"] {
            demux.add_ufrag(0, name);
        }
        assert_eq!(demux.route(path(1), &stun(1, Some("aaaa:x"))), Err(DropReason::UnknownUfrag));
        assert_eq!(demux.route(path(1), &stun(1, Some("bbbb:x"))), Ok(0));
        for port in 0..100 {
            demux.observe_transmit(now, 0, path(port), &stun(STUN_BINDING_SUCCESS, None));
        }
        assert_eq!(demux.by_path.len(), MAX_PATHS);
        demux.remove_path(path(99));
        assert_eq!(demux.by_path.len(), MAX_PATHS - 1);
        demux.remove_transport(0);
        assert!(demux.is_empty());
    }
}
