//! Fuzz targets of the packet engine. See `targets` for what each one promises.

pub mod seeds;
pub mod targets;
