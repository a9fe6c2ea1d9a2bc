//! Any of the targets under libFuzzer: the environment variable `FUZZ_TARGET` names it.
//!
//! With `FUZZ_SEEDS=<folder>` it fuzzes nothing, writes the seeds of every target to `<folder>/<target>/`, and the
//! targets' names to standard output. One program does both, since what is built with counters needs libFuzzer.

#![no_main]

use std::path::Path;
use std::process::exit;
use std::sync::OnceLock;
use std::{env, fs, io};

use libfuzzer_sys::fuzz_target;
use plenum_fuzz::seeds::seeds;
use plenum_fuzz::targets::TARGETS;

static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

fn begin() {
    if let Some(folder) = env::var_os("FUZZ_SEEDS") {
        if let Err(error) = write_seeds(Path::new(&folder)) {
            eprintln!("{}: {error}", folder.display());
            exit(1);
        }
        exit(0);
    }
    let wanted = env::var("FUZZ_TARGET").unwrap_or_default();
    let Some((_, body)) = TARGETS.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("FUZZ_TARGET={wanted:?} is no target");
        exit(1);
    };
    CHOSEN.get_or_init(|| *body);
}

fn write_seeds(folder: &Path) -> io::Result<()> {
    for (target, _) in TARGETS {
        let folder = folder.join(target);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds(target).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:03}")), seed)?;
        }
        println!("{target}");
    }
    Ok(())
}

fuzz_target!(init: begin(), |input: &[u8]| {
    if let Some(body) = CHOSEN.get() {
        body(input);
    }
});
