//! Python binding of the engine (`sfu._engine`, described by `sfu/_engine.pyi`): converts and queues, no logic.
//!
//! Every call that parses, builds or waits releases the interpreter lock; no thread of the engine ever takes it.

mod aliases;
mod config;
mod engine;
mod error;
mod events;
mod negotiation;

use pyo3::prelude::*;

use crate::error::{EngineError, QueueFull, SdpError};

/// `release` or `debug`, so that a slow build in production is visible.
#[pyfunction]
fn build_profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("EngineError", py.get_type::<EngineError>())?;
    module.add("SdpError", py.get_type::<SdpError>())?;
    module.add("QueueFull", py.get_type::<QueueFull>())?;
    module.add_class::<config::EngineConfig>()?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<negotiation::OfferedMedia>()?;
    module.add_class::<negotiation::RemoteOffer>()?;
    module.add_class::<negotiation::PublishLine>()?;
    events::add_classes(module)?;
    aliases::add(module)?;
    module.add_function(wrap_pyfunction!(build_profile, module)?)
}
