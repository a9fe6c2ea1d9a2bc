//! Pass or drop: starts and switches only at key frames.
