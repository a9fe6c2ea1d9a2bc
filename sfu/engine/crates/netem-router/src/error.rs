//! What can end the router, or keep it from starting. No logic.

use std::io;

use crate::settings::SettingsError;

/// Why the router could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum RouterError {
    /// The command line is not understood.
    #[error(transparent)]
    Arguments(#[from] lexopt::Error),
    /// Impairments are not understood.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A device is not named.
    #[error("--{side} NAME is required: the device of the {side} side")]
    NoDevice {
        /// `near` or `far`.
        side: &'static str,
    },
    /// A device cannot be made.
    #[error("the device {name} cannot be opened: {source}")]
    Open {
        /// Its name.
        name: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A device does not work any more.
    #[error("the {side} device is gone (was its namespace removed?): {source}")]
    Gone {
        /// `near` or `far`.
        side: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Something else with input or output.
    #[error(transparent)]
    Io(#[from] io::Error),
}
