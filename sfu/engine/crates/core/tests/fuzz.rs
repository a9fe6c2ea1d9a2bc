//! Every fuzz target without a fuzzer: kept crashes, seeds, and seeded random mutations of the seeds.
//!
//! `FUZZ_ITERATIONS` scales the work (mutations per target, default 300), `FUZZ_SEED` changes the mutations. A failure
//! prints the input in hex: keep it as a file in `fuzz/regressions/<target>/`.

#![allow(clippy::unwrap_used)]

#[path = "../../../fuzz/src/targets.rs"]
#[allow(clippy::pedantic, unreachable_pub)]
#[allow(clippy::disallowed_methods)] // a beginning of time; the targets only ever add to it
mod targets;

#[path = "../../../fuzz/src/seeds.rs"]
#[allow(clippy::pedantic, unreachable_pub)]
mod seeds;

use std::panic::catch_unwind;
use std::path::Path;

use seeds::{files, seeds};
use targets::{TARGETS, Target};

const DEFAULT_ITERATIONS: u64 = 300;
const DEFAULT_SEED: u64 = 0x05ee_d0f9_1e21;
/// Building an association costs a millisecond and more.
const SLOW: &[&str] = &["sdp_negotiation", "sdp_answer", "stun", "rtp_extensions", "call"];
const SLOWNESS: u64 = 10;

/// Pieces worth inserting into text.
const WORDS: &[&str] = &[
    "a=mid:0\r\n",
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n",
    "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\n",
    "a=rtpmap:96 VP8/90000\r\n",
    "a=rtpmap:127 H264/90000\r\n",
    "a=fmtp:97 apt=96\r\n",
    "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n",
    "a=rtpmap:63 red/48000/2\r\n",
    "a=fmtp:63 111/111\r\n",
    "a=sendrecv\r\n",
    "a=inactive\r\n",
    "a=extmap:255 urn:x\r\n",
    "a=extmap:0 urn:ietf:params:rtp-hdrext:sdes:mid\r\n",
    "a=rid:q send pt=96\r\n",
    "a=simulcast:send q;~h,f recv x\r\n",
    "a=ssrc-group:SIM 1 2 3\r\n",
    "a=ssrc:4294967296 cname:x\r\n",
    "a=group:BUNDLE 0 0 1\r\n",
    "a=ice-ufrag:\r\n",
    "a=setup:passive\r\n",
    "a=candidate:1 1 udp 1 192.0.2.2 53194 typ host\r\n",
    "a=sctp-port:0\r\n",
    "a=max-message-size:18446744073709551616\r\n",
    "\u{e4}\u{1f600}",
    "\0",
];

fn main_folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// One to four random changes.
fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(input.len());
        let end = (at + random.below(40)).min(input.len());
        match random.below(10) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = random.byte(),
            2 => input.truncate(at),
            3 => drop(input.drain(at..end)),
            4 => input.splice(at..at, WORDS[random.below(WORDS.len())].bytes()).for_each(drop),
            5 => {
                let copy = input[at..end].to_vec();
                let to = random.below(input.len());
                input.splice(to..to, copy).for_each(drop);
            }
            6 => {
                let other = &seeds[random.below(seeds.len())];
                let cut = random.below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[cut..]);
            }
            7 | 8 => renumber(random, &mut input),
            _ => swap_lines(random, &mut input),
        }
    }
    input
}

/// Gives a number somewhere in the text another value: payload types, ports, extension ids are such numbers.
fn renumber(random: &mut Random, input: &mut Vec<u8>) {
    let from = random.below(input.len());
    let Some(start) = input[from..].iter().position(u8::is_ascii_digit).map(|at| from + at) else { return };
    let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    input.splice(start..start + length, random.below(140).to_string().into_bytes()).for_each(drop);
}

/// Exchanges two lines: well-formed text in the wrong order.
fn swap_lines(random: &mut Random, input: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let (one, other) = (random.below(lines.len()), random.below(lines.len()));
    if one < lines.len() && other < lines.len() {
        lines.swap(one, other);
        *input = lines.concat();
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn run(target: &Target, origin: &str, input: &[u8]) {
    let (name, body) = target;
    assert!(catch_unwind(|| body(input)).is_ok(), "{name} broke on {origin}: {}", hex(input));
}

fn replay(name: &str) {
    let target = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    for (index, input) in files(&main_folder().join("fuzz/regressions").join(name)).iter().enumerate() {
        run(target, &format!("kept crash {index}"), input);
    }
    let seeds = seeds(name);
    seeds.iter().enumerate().for_each(|(index, seed)| run(target, &format!("seed {index}"), seed));
    let slowness = if SLOW.contains(&name) { SLOWNESS } else { 1 };
    let seed = number("FUZZ_SEED", DEFAULT_SEED);
    let mut random = Random(seed);
    for iteration in 0..number("FUZZ_ITERATIONS", DEFAULT_ITERATIONS) / slowness {
        let input = mutate(&mut random, &seeds);
        run(target, &format!("mutation {iteration} of FUZZ_SEED={seed}"), &input);
    }
}

macro_rules! replays {
    ($($test:ident => $target:literal,)*) => {
        $(
            #[test]
            fn $test() {
                replay($target);
            }
        )*

        #[test]
        fn fuzz_covers_every_target() {
            let replayed = [$($target),*];
            assert_eq!(replayed.len(), TARGETS.len());
            assert!(TARGETS.iter().all(|(name, _)| replayed.contains(name)));
        }
    };
}

replays! {
    fuzz_payload => "payload",
    fuzz_red => "red",
    fuzz_redundancy => "redundancy",
    fuzz_packet_trailer => "packet_trailer",
    fuzz_rtcp => "rtcp",
    fuzz_dependency_descriptor => "dependency_descriptor",
    fuzz_data_packet => "data_packet",
    fuzz_data_queue => "data_queue",
    fuzz_data_track => "data_track",
    fuzz_data_pace => "data_pace",
    fuzz_sdp_offer => "sdp_offer",
    fuzz_sdp_negotiation => "sdp_negotiation",
    fuzz_sdp_answer => "sdp_answer",
    fuzz_sdp_finish => "sdp_finish",
    fuzz_datagram => "datagram",
    fuzz_down_track => "down_track",
    fuzz_up_track => "up_track",
    fuzz_allocator => "allocator",
    fuzz_rate => "rate",
    fuzz_descriptors => "descriptors",
    fuzz_tcp_framing => "tcp_framing",
    fuzz_stun => "stun",
    fuzz_rtp_extensions => "rtp_extensions",
    fuzz_call => "call",
}
