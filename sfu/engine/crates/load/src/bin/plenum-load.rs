//! `plenum-load`: see the library's manual and `--help`.

use std::io::Write;
use std::process::ExitCode;

use plenum_load::{Arguments, LoadError};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "plenum-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), LoadError> {
    let mut output = std::io::stdout();
    match Arguments::from_environment()? {
        Some(arguments) => plenum_load::run(&arguments, &mut output),
        None => Ok(writeln!(output, "{}", Arguments::HELP)?),
    }
}
