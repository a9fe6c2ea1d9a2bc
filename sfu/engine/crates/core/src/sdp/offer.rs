//! Reads and filters what a client offers or answers.
