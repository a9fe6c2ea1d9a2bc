//! Data packets encoded by another implementation, and what the server must make of them (`data/make_vectors.py`).

#![allow(clippy::unwrap_used)]

use plenum_core::data::{Destinations, MAX_MESSAGE_BYTES, Restamped, restamp, wrap_raw};
use plenum_core::{DataKind, DataProfile, DropReason};

const VECTORS: &str = include_str!("data/vectors.txt");

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn sender(name: &str) -> DataProfile {
    let (sid, identity) = if name == "agent" { ("PA_agent", "agent-1") } else { ("PA_alice", "alice") };
    DataProfile {
        sid: sid.into(),
        identity: identity.into(),
        can_publish_data: name != "muzzled",
        hidden: name == "hidden",
        agent: name == "agent",
    }
}

fn expected(columns: &[&str]) -> Result<Restamped, DropReason> {
    match columns {
        ["ok", payload, identities, sids, sequence, nonce] => Ok(Restamped {
            payload: unhex(payload).into(),
            destinations: Destinations { identities: list(identities), sids: list(sids) },
            sequence: sequence.parse().unwrap(),
            nonce: unhex(nonce),
        }),
        [reason] => Err(*DropReason::ALL.iter().find(|known| known.as_str() == *reason).unwrap()),
        _ => panic!("bad vector {columns:?}"),
    }
}

#[test]
fn packets_are_restamped_by_the_rules() {
    let mut count = 0;
    for line in VECTORS.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, channel, from, packet, rest @ ..] = columns.as_slice() else {
            panic!("bad vector {line}")
        };
        let kind = if *channel == "lossy" { DataKind::Lossy } else { DataKind::Reliable };
        let outcome = restamp(&unhex(packet), kind, &sender(from));
        assert_eq!(outcome, expected(rest), "{name} over {channel} from {from}");
        count += 1;
    }
    assert!(count > 150, "{count} vectors");
}

#[test]
fn raw_messages_become_user_packets() {
    let wrapped = wrap_raw(b"raw", DataKind::Lossy, &sender("user")).unwrap();
    let again = restamp(&wrapped.payload, DataKind::Lossy, &sender("user")).unwrap();
    assert_eq!(wrapped, again, "a packet of ours is one that we would forward unchanged");
    assert!(wrapped.payload.windows(3).any(|bytes| bytes == b"raw"));
    let hidden = wrap_raw(b"raw", DataKind::Reliable, &sender("hidden")).unwrap();
    assert_eq!(*hidden.payload, [0x12, 0x05, 0x12, 0x03, b'r', b'a', b'w']);
    assert_eq!(wrap_raw(b"raw", DataKind::Lossy, &sender("muzzled")), Err(DropReason::DataNotPermitted));
    let large = vec![0; MAX_MESSAGE_BYTES];
    assert_eq!(wrap_raw(&large, DataKind::Lossy, &sender("user")), Err(DropReason::MalformedData));
}

#[test]
fn a_packet_must_still_fit_when_stamped() {
    for (payload_bytes, fits) in [(65_480, true), (65_500, false)] {
        let mut user = vec![0x12];
        push_length(&mut user, payload_bytes);
        user.resize(user.len() + payload_bytes, b'x');
        let mut packet = vec![0x12];
        push_length(&mut packet, user.len());
        packet.extend(user);
        assert!(packet.len() <= MAX_MESSAGE_BYTES);
        let outcome = restamp(&packet, DataKind::Reliable, &sender("user"));
        assert_eq!(outcome.err(), (!fits).then_some(DropReason::MalformedData), "{payload_bytes}");
    }
}

/// A length from 16384 to 2097151 as a varint.
fn push_length(out: &mut Vec<u8>, length: usize) {
    let group = |shift: u32| u8::try_from(length >> shift & 0x7f).unwrap();
    out.extend([group(0) | 0x80, group(7) | 0x80, group(14)]);
}

#[test]
fn destinations_name_by_identity_or_sid() {
    let everybody = Destinations::default();
    let some = Destinations { identities: vec!["bob".into()], sids: vec!["PA_c".into()] };
    assert!(everybody.lookup().includes("anybody", "PA_x"));
    for (identity, sid, expected) in [("bob", "PA_x", true), ("carol", "PA_c", true), ("dave", "PA_d", false)]
    {
        assert_eq!(some.lookup().includes(identity, sid), expected);
    }
}
