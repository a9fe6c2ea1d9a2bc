//! Arithmetic on wrapping counters: sequence numbers, timestamps, picture ids.
