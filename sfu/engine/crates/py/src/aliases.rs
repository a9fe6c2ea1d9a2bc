//! The stub's type alias `Event`, so that it can be imported at run time too.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::events;

/// Adds it to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let classes = PyTuple::new(py, events::classes(py))?;
    module.add("Event", py.import("typing")?.getattr("Union")?.get_item(classes)?)
}
