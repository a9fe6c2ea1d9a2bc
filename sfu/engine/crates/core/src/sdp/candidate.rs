//! Candidate attribute values: which address to announce for a local one (1:1 NAT).

use std::net::{IpAddr, SocketAddr};

use crate::transport::LocalCandidate;

/// A candidate attribute value (`candidate:…`) as it is to be announced: one per advertised address of its local
/// address (1:1 NAT), or unchanged.
#[must_use]
pub fn announce_candidate(candidate: &str, candidates: &[LocalCandidate]) -> Vec<String> {
    let mut announced = Vec::new();
    announce_line(candidate, candidates, |text| announced.push(text.to_owned()));
    announced
}

/// Hands each announced form of a candidate to `emit`.
pub(super) fn announce_line(candidate: &str, candidates: &[LocalCandidate], mut emit: impl FnMut(&str)) {
    // RFC 8839 §5.1: foundation, component, transport, priority, address, port, `typ` …
    let words: Vec<&str> = candidate.splitn(7, ' ').collect();
    let local = match words.as_slice() {
        [_, _, transport, _, address, port, _] => find(candidates, transport, address, port),
        _ => None,
    };
    let Some(local) = local.filter(|local| !local.advertised.is_empty()) else {
        emit(candidate);
        return;
    };
    for (index, advertised) in local.advertised.iter().enumerate() {
        let lowered = words[3].parse::<u32>().map(|priority| lower(priority, index)).unwrap_or_default();
        let (ip, port) = (advertised.ip(), advertised.port());
        emit(&format!("{}{index} {} {} {lowered} {ip} {port} {}", words[0], words[1], words[2], words[6]));
    }
}

fn find<'a>(
    candidates: &'a [LocalCandidate],
    transport: &str,
    address: &str,
    port: &str,
) -> Option<&'a LocalCandidate> {
    let bound = SocketAddr::new(address.parse::<IpAddr>().ok()?, port.parse().ok()?);
    let is_tcp = transport.eq_ignore_ascii_case("tcp");
    candidates.iter().find(|candidate| candidate.local == bound && candidate.tcp == is_tcp)
}

/// Lowers the local preference (bits 8 to 23 of the priority, RFC 8445 §5.1.2.1) so that no two are equal.
fn lower(priority: u32, index: usize) -> u32 {
    priority.saturating_sub(u32::try_from(index).unwrap_or(u32::MAX).saturating_mul(1 << 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nat() -> Vec<LocalCandidate> {
        let parse = |text: &str| text.parse().unwrap();
        vec![
            LocalCandidate { local: parse("10.0.0.5:7882"), advertised: vec![], tcp: false },
            LocalCandidate {
                local: parse("10.0.0.6:7882"),
                advertised: vec![parse("203.0.113.9:7882"), parse("10.0.0.6:7882")],
                tcp: false,
            },
            LocalCandidate {
                local: parse("10.0.0.6:7882"),
                advertised: vec![parse("[2001:db8::1]:443")],
                tcp: true,
            },
        ]
    }

    #[test]
    fn announces_public_addresses() {
        for (candidate, announced) in [
            (
                "candidate:a 1 udp 2130706431 10.0.0.5 7882 typ host",
                &["candidate:a 1 udp 2130706431 10.0.0.5 7882 typ host"][..],
            ),
            (
                "candidate:a 1 udp 2130706431 10.0.0.6 7882 typ host ufrag xy",
                &[
                    "candidate:a0 1 udp 2130706431 203.0.113.9 7882 typ host ufrag xy",
                    "candidate:a1 1 udp 2130706175 10.0.0.6 7882 typ host ufrag xy",
                ],
            ),
            (
                "candidate:a 1 tcp 5 10.0.0.6 7882 typ host tcptype passive",
                &["candidate:a0 1 tcp 5 2001:db8::1 443 typ host tcptype passive"],
            ),
            ("candidate:a 1 udp 5 10.0.0.7 1 typ host", &["candidate:a 1 udp 5 10.0.0.7 1 typ host"]),
            ("candidate:", &["candidate:"]),
        ] {
            assert_eq!(announce_candidate(candidate, &nat()), announced);
        }
    }
}
