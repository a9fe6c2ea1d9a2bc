//! Start and stop of the real engine on loopback.

use std::net::UdpSocket;

use super::*;

fn config(udp: &[&str], tcp: &[&str]) -> EngineConfig {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    EngineConfig { udp: parse(udp), tcp: parse(tcp), ..EngineConfig::default() }
}

#[test]
fn all_addresses_share_the_port_that_the_first_was_given() {
    let engine =
        Engine::start(&config(&["127.0.0.1:0", "127.0.0.2:0"], &["127.0.0.1:0", "127.0.0.2:0"])).unwrap();
    for addresses in [engine.udp_addresses(), engine.tcp_addresses()] {
        assert_ne!(addresses[0].port(), 0);
        assert_eq!(addresses[0].port(), addresses[1].port());
    }
}

#[test]
fn candidates_name_every_address_udp_first() {
    let engine = Engine::start(&config(&["127.0.0.1:0"], &["127.0.0.1:0"])).unwrap();
    let [udp, tcp] = &engine.candidates()[..] else { panic!("{:?}", engine.candidates()) };
    assert!(udp.starts_with("candidate:") && udp.contains(" udp "), "{udp}");
    assert!(udp.contains(&format!(" 127.0.0.1 {} typ host", engine.udp_addresses()[0].port())), "{udp}");
    assert!(tcp.contains(" tcp ") && tcp.ends_with("tcptype passive"), "{tcp}");
}

#[test]
fn public_addresses_stand_in_for_their_local_ones() {
    let mut config = config(&["127.0.0.1:0", "127.0.0.2:0"], &[]);
    config.advertised = vec![("127.0.0.1".parse().unwrap(), "203.0.113.5".parse().unwrap())];
    for internal in [false, true] {
        config.advertise_internal = internal;
        let engine = Engine::start(&config).unwrap();
        let (first, second) = (engine.udp_addresses()[0], engine.udp_addresses()[1]);
        let public = SocketAddr::new("203.0.113.5".parse().unwrap(), first.port());
        let [nat, plain] = &engine.transport_options().candidates[..] else { panic!() };
        let expected = if internal { vec![public, first] } else { vec![public] };
        assert_eq!((nat.local, &nat.advertised), (first, &expected));
        assert_eq!((plain.local, plain.advertised.len()), (second, 0));
    }
}

#[test]
fn what_cannot_be_bound_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Engine::start(&config(&[&address], &[])).unwrap_err();
    assert!(matches!(error, EngineError::Bind { protocol: "UDP", .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    assert!(matches!(Engine::start(&config(&["0.0.0.0:0"], &[])), Err(EngineError::Wildcard { .. })));
    assert!(matches!(Engine::start(&config(&[], &[])), Err(EngineError::NoAddress)));
}

#[test]
fn stop_is_idempotent_and_frees_the_ports() {
    let engine = Engine::start(&config(&["127.0.0.1:0"], &["127.0.0.1:0"])).unwrap();
    let (udp, tcp) = (engine.udp_addresses()[0], engine.tcp_addresses()[0]);
    engine.stop();
    engine.stop();
    let command = Command::RemoveParticipant { participant: 1.into() };
    assert_eq!(engine.submit(command), Err(SubmitError::Stopped));
    UdpSocket::bind(udp).unwrap();
    TcpListener::bind(tcp).unwrap();
}

#[test]
fn counters_are_named_as_the_binding_says() {
    let engine = Engine::start(&config(&["127.0.0.1:0"], &[])).unwrap();
    let counters = engine.counters();
    for name in
        ["packets_in", "bytes_out", "transports", "events_lost", "shard_cpu_us", "dropped.send_buffer_full"]
    {
        assert!(counters.iter().any(|(found, _)| found == name), "{name}");
    }
}
