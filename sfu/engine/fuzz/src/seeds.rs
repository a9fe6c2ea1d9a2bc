//! Inputs to begin with: what real clients and published vectors look like, so that a fuzzer gets deep at once.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the core's tests; this file is compiled in two crates.
fn core_tests() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    if here.ends_with("fuzz") { here.join("../crates/core/tests") } else { here.join("tests") }
}

/// The files of a folder in the order of their names; none when it is not there.
pub fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> =
        entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Inputs to begin with: valid ones, so that mutations get deep.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    match target {
        "sdp_offer" | "sdp_finish" => files(&core_tests().join("offers")),
        "sdp_negotiation" => {
            let offers = seeds("sdp_offer");
            offers.iter().map(|offer| [&offers[0][..], b"\0", offer].concat()).collect()
        }
        "sdp_answer" => {
            let edit = |edit: u8| vec![edit, edit.wrapping_mul(7), edit.wrapping_mul(13)];
            std::iter::once(Vec::new()).chain((0..40).map(edit)).collect()
        }
        "data_packet" => include_str!("../../crates/core/tests/data/vectors.txt")
            .lines()
            .filter_map(|line| line.split('\t').nth(3))
            .map(|packet| [vec![0], unhex(packet)].concat())
            .collect(),
        "datagram" => vec![
            unhex(
                "000100302112a442000102030405060708090a0b00060009616263643a77787900000000802900080000000000000001",
            ),
            unhex("16feff0000000000000000005a0100004e"),
            unhex("80e00001000000010000000112345678"),
        ],
        "data_track" => vec![
            unhex("180001020003000400000005aabb"),
            unhex("1c00000100000001000000050001010a50415f313233343536373800"),
            unhex(&format!("1e05{}", "18000014000000010000000500000000".repeat(20))),
        ],
        "packet_trailer" => vec![
            [&[4, 0x10, 1, 2, 3, 0xff ^ 5][..], b"LKTS"].concat(),
            [&[6, 0x78, 0, 2, 0x67, 1, 0, 7, 0x65, 9, 0xff ^ 5][..], b"LKTS"].concat(),
        ],
        "rtcp" => [
            "81c900070000000900000005010000050000004d000000031234567800018000",
            "81cd0003000000090000000500078001",
            "81ce000200000009000000058fce00040000000900000000524d42010300ffff",
            "8fcd00080000000900000005fffe0014000003012003a001c8400405060708fffe090000",
            "8fce00050000000900000000524d42010120000000000005",
            "80c800060000000900000000000000000000000000000000000000000000000084ce000400000009000000000000000501000000",
        ]
        .map(unhex)
        .to_vec(),
        "red" => vec![vec![0xef, 0x0f, 0x00, 2, 0x6f, 9, 9, 1, 2], vec![0x6f, 1, 2, 3]],
        // Extensions of every kind; a key frame of VP8 and damage to it; sound in RED, a message; datagrams and time.
        "call" => [
            "0f14850102030405bd000759b980010101010101010101029080",
            "010e908080000002009d012a0909090936143405",
            "0709ef0f00026f090901020b030800011828",
            "130480600001110216fe16030e011c63",
        ]
        .map(unhex)
        .into_iter()
        // A long one, since most of a run's time is what connecting takes.
        .chain([(0..800_u32).map(|at| ((at * 37) ^ (at >> 8)).to_le_bytes()[0]).collect()])
        .collect(),
        // A structure, frames of each of its templates, then another structure.
        "descriptors" => {
            let structure = unhex("fc12348783187aaa0100a0a014d1413451a1a1a1a1a1a1c09fc059c13fc0b3c0");
            let key = [&[32, 9][..], &structure].concat();
            let frames = [60, 61, 62, 63, 0, 1].iter().zip(0x35..).flat_map(|(id, number)| [3, 9, 0xc0 | id, 0x12, number]);
            let stream: Vec<u8> = key.into_iter().chain(frames).collect();
            let custom = [&[6, 9][..], &unhex("bd123b59b980")].concat();
            let other = [&[32, 25, 0xfc, 0x20, 0x00][..], &structure[3..]].concat();
            vec![[&stream[..], &custom, &other, &stream].concat(), [&stream[..], &stream].concat()]
        }
        "tcp_framing" => vec![
            [&[3, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 1, 9, 16, 0][..], &[7; 4096]].concat(),
            b"\x01\x00\x02\x00\x01GET / HTTP/1.1\r\n".to_vec(),
        ],
        // Priority, controlling, use-candidate, integrity and fingerprint; the name of nobody; an answer; then time.
        "stun" => [
            "000038002400046e7f00ff802a00080102030405060708002500000008001400000000000000000000000000000000000000008028000400000000020c000600086e6f626f64793a78081c002000080001a147e112a643000900040000040180220004706c656e",
            "f10414002400046e7f00ff802a000801020304050607080038002400046e7f00ff802a00080102030405060708002500000008001400000000000000000000000000000000000000008028000400000000",
        ]
        .map(unhex)
        .to_vec(),
        "rtp_extensions" => vec![
            unhex("0001010500010c10810a0b0c010203040506070801800708010e0f"),
            [&[1, 0x83, 40][..], &[0xfc; 40], &[0, 3, 44], &[0; 44], &[1, 0xff, 99], &[0x55; 99]].concat(),
        ],
        "payload" => {
            ["0490e092340780010203", "05780002674200026865", "06a8010000ff", "07180a", "08400142014401"]
                .map(unhex)
                .to_vec()
        }
        "dependency_descriptor" => vec![
            unhex("fc12348783187aaa0100a0a014d1413451a1a1a1a1a1a1c09fc059c13fc0b3c0"),
            unhex("ff1235"),
            unhex("bd000759b980"),
            unhex("801234f8ffff"),
        ],
        _ => vec![(0..=255).collect(), (0..255_u8).rev().map(|byte| byte.wrapping_mul(37)).collect()],
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
