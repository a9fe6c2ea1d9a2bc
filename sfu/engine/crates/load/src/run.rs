//! The main thread of a load run: starts the workers, sets the phases, prints the lines of JSON.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::Arguments;
use crate::error::LoadError;
use crate::tally::percentile_ms;
use crate::worker::{Board, Phase, Report, Seat, Worker};

/// How often the main thread looks at the board.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Runs to the end; every line of JSON goes to `output`.
pub fn run(arguments: &Arguments, output: &mut impl Write) -> Result<(), LoadError> {
    let board = Arc::new(Board::default());
    let shared = Arc::new(arguments.clone());
    let all = seats(arguments);
    let wanted = all.len();
    let began = Instant::now();
    let workers = start_workers(&shared, &board, all)?;
    let outcome = follow(arguments, &board, wanted, began, output);
    board.set_phase(Phase::Done);
    let mut report = Report::default();
    for worker in workers {
        merge(&mut report, worker.join().map_err(|_| LoadError::Thread)??);
    }
    let measured = outcome?;
    print(output, &result(&mut report, measured))
}

/// Waits for the phases one after another; returns how long was measured.
fn follow(
    arguments: &Arguments,
    board: &Board,
    wanted: usize,
    began: Instant,
    output: &mut impl Write,
) -> Result<Duration, LoadError> {
    wait_until(arguments, board, wanted, "connected", |board| board.connected.load(Ordering::Acquire))?;
    let seconds = began.elapsed().as_secs_f64();
    print(output, &json!({"event": "joined", "participants": wanted, "seconds": seconds}))?;
    if sends_anything(arguments) {
        // Publishers hear nothing when they are alone in sending.
        let receivers = if arguments.room_size == 0 { arguments.subscribers } else { 0 };
        wait_until(arguments, board, receivers, "receiving", |board| {
            board.receiving.load(Ordering::Acquire)
        })?;
    }
    board.set_phase(Phase::Measuring);
    let start = Instant::now();
    print(output, &json!({"event": "measuring"}))?;
    while start.elapsed() < arguments.duration && board.failed.load(Ordering::Acquire) == 0 {
        std::thread::sleep(LOOK_INTERVAL.min(arguments.duration.saturating_sub(start.elapsed())));
    }
    let measured = start.elapsed();
    print(output, &json!({"event": "measured", "seconds": measured.as_secs_f64()}))?;
    Ok(measured)
}

fn sends_anything(arguments: &Arguments) -> bool {
    arguments.publishers > 0 && (arguments.video_bps > 0 || arguments.audio || arguments.data_rate > 0)
}

fn wait_until(
    arguments: &Arguments,
    board: &Board,
    wanted: usize,
    state: &'static str,
    reached: impl Fn(&Board) -> usize,
) -> Result<(), LoadError> {
    let start = Instant::now();
    while reached(board) < wanted {
        if start.elapsed() > arguments.patience || board.failed.load(Ordering::Acquire) > 0 {
            let seconds = start.elapsed().as_secs();
            return Err(LoadError::Deadline { seconds, reached: reached(board), wanted, state });
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// Publishers first, so that subscribers find tracks to subscribe to.
fn seats(arguments: &Arguments) -> Vec<Seat> {
    let total = arguments.publishers + arguments.subscribers;
    (0..total)
        .map(|number| Seat {
            room: match arguments.room_size {
                0 => arguments.room.clone(),
                size => format!("{}-{}", arguments.room, number / size),
            },
            identity: format!("load-{number}"),
            publishes: number < arguments.publishers,
        })
        .collect()
}

type Running = JoinHandle<Result<Report, LoadError>>;

fn start_workers(
    arguments: &Arc<Arguments>,
    board: &Arc<Board>,
    all: Vec<Seat>,
) -> Result<Vec<Running>, LoadError> {
    let mut shares: Vec<Vec<Seat>> = vec![Vec::new(); arguments.threads];
    for (number, seat) in all.into_iter().enumerate() {
        shares[number % arguments.threads].push(seat);
    }
    let mut workers = Vec::new();
    for (number, share) in shares.into_iter().enumerate() {
        let (arguments, board) = (Arc::clone(arguments), Arc::clone(board));
        let thread = std::thread::Builder::new().name(format!("plenum-load-{number}"));
        workers.push(thread.spawn(move || {
            let result = Worker::new(arguments, Arc::clone(&board), share).and_then(Worker::run);
            if result.is_err() {
                board.failed.fetch_add(1, Ordering::AcqRel);
            }
            result
        })?);
    }
    Ok(workers)
}

fn merge(sum: &mut Report, other: Report) {
    sum.tally.merge(&other.tally);
    sum.lost += other.lost;
    sum.streams += other.streams;
    sum.connect_times.extend(other.connect_times);
    sum.cpu += other.cpu;
}

fn result(report: &mut Report, measured: Duration) -> Value {
    let tally = &mut report.tally;
    json!({
        "event": "result",
        "seconds": measured.as_secs_f64(),
        "packets": tally.packets,
        "messages": tally.messages,
        "bytes": tally.bytes,
        "lost": report.lost,
        "streams": report.streams,
        "delay_ms": {
            "p50": percentile_ms(&mut tally.delays, 0.5),
            "p95": percentile_ms(&mut tally.delays, 0.95),
            "p99": percentile_ms(&mut tally.delays, 0.99),
        },
        "connect_ms": {
            "p50": percentile_ms(&mut report.connect_times, 0.5),
            "p95": percentile_ms(&mut report.connect_times, 0.95),
        },
        "client_cpu_s": report.cpu.as_secs_f64(),
    })
}

fn print(output: &mut impl Write, line: &Value) -> Result<(), LoadError> {
    writeln!(output, "{line}")?;
    Ok(output.flush()?)
}
