//! The test kit: the proving ground, an app made to be watched and killed, and private instances of real servers.

pub mod authority;
pub mod bot;
pub mod ground;
#[cfg(feature = "servers")]
pub mod servers;
pub mod shop;
mod wait;

pub use wait::{PATIENCE, eventually, eventually_async, eventually_within};
