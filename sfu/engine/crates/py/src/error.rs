//! The binding's exceptions, and the one place where Rust errors become Python's.

use std::net::AddrParseError;

use plenum_core::sdp;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;

create_exception!(sfu._engine, EngineError, PyException, "The engine could not start or is gone.");
create_exception!(sfu._engine, SdpError, PyValueError, "A session description was refused.");
create_exception!(sfu._engine, QueueFull, PyException, "The bounded command queue is full.");

/// Everything that a call can answer in place of its result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BindingError {
    #[error(transparent)]
    Start(#[from] plenum_io::EngineError),
    #[error(transparent)]
    Submit(#[from] plenum_io::SubmitError),
    #[error(transparent)]
    Sdp(#[from] sdp::SdpError),
    #[error("{given:?} is not ip:port: {cause}")]
    SocketAddress { given: String, cause: AddrParseError },
    #[error("{given:?} is not an IP address: {cause}")]
    IpAddress { given: String, cause: AddrParseError },
    #[error("{name} must be {expected}")]
    OutOfRange { name: &'static str, expected: &'static str },
}

impl From<BindingError> for PyErr {
    fn from(error: BindingError) -> Self {
        let text = error.to_string();
        match error {
            BindingError::Submit(plenum_io::SubmitError::QueueFull) => QueueFull::new_err(text),
            BindingError::Start(_) | BindingError::Submit(_) => EngineError::new_err(text),
            BindingError::Sdp(_) => SdpError::new_err(text),
            BindingError::SocketAddress { .. }
            | BindingError::IpAddress { .. }
            | BindingError::OutOfRange { .. } => PyValueError::new_err(text),
        }
    }
}
