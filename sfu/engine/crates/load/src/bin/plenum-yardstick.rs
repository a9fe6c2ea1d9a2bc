//! `plenum-yardstick send|connect|forward [subscribers] [packets per frame] [seconds]|voices [subscribers] [tracks]
//! [seconds]`: prints one line of JSON.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use plenum_load::LoadError;
use plenum_load::yardstick::{ForwardCost, measure_connect, measure_forward, measure_send, measure_voices};
use serde_json::{Value, json};

const SENT_PACKETS: u64 = 400_000;
const CONNECTIONS: u32 = 200;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        arguments.get(index).and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let result = match arguments.first().map(String::as_str) {
        Some("send") => send(),
        Some("connect") => connect(),
        Some("forward") => forward(number(1, 100), number(2, 8), number(3, 5)),
        Some("voices") => voices(number(1, 50), number(2, 100), number(3, 5)),
        _ => {
            let usage = "usage: plenum-yardstick send|connect|forward [subscribers] [packets per frame] [seconds]\n\
                         \x20      plenum-yardstick voices [subscribers] [tracks] [seconds]";
            let _ = writeln!(std::io::stderr(), "{usage}");
            return ExitCode::FAILURE;
        }
    };
    match result {
        Ok(line) if writeln!(std::io::stdout(), "{line}").is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "plenum-yardstick: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send() -> Result<Value, LoadError> {
    let cost = measure_send(SENT_PACKETS)?;
    Ok(json!({"packets": cost.packets, "cpu_s": cost.cpu.as_secs_f64()}))
}

fn connect() -> Result<Value, LoadError> {
    let cost = measure_connect(CONNECTIONS)?;
    Ok(json!({"connections": cost.connections, "cpu_s": cost.cpu.as_secs_f64()}))
}

fn forward(subscribers: u64, packets_per_frame: u64, seconds: u64) -> Result<Value, LoadError> {
    let packets_per_frame = u32::try_from(packets_per_frame).unwrap_or(u32::MAX);
    let cost = measure_forward(subscribers, packets_per_frame, Duration::from_secs(seconds))?;
    Ok(line_of(&cost))
}

fn voices(subscribers: u64, tracks: u64, seconds: u64) -> Result<Value, LoadError> {
    let tracks = usize::try_from(tracks).unwrap_or(usize::MAX);
    Ok(line_of(&measure_voices(subscribers, tracks, Duration::from_secs(seconds))?))
}

fn line_of(cost: &ForwardCost) -> Value {
    json!({
        "packets": cost.counters.get("packets_out"),
        "arrived": cost.arrived,
        "counters": cost.counters,
        "cpu_s": cost.cpu.as_secs_f64(),
        "seconds": cost.elapsed.as_secs_f64(),
    })
}
