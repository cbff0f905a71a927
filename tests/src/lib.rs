//! See the crate description; filled in by its first milestone.

#[cfg(feature = "servers")]
pub mod servers;
