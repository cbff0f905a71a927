//! See the crate description; filled in by its first milestone.

pub mod config;
pub mod signals;
pub mod telemetry;
