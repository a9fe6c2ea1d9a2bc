//! Splits a session description into lines and sections, with bounds.
