//! Turns order mails into orders.
//!
//! ```text
//! raw bytes ─▶ mime ─▶ attachments ─▶ extract ─▶ the shop's verdict ─▶ reading
//!              parse    choose          tables,     (domain crate)
//!                                       text
//! ```
//!
//! [`read_order`] is the whole of it for one mail. Everything a stranger wrote is handled on the way there and under
//! limits; what comes out is a verdict of the domain crate, which knows nothing of mails.

pub mod attachments;
pub mod config;
pub mod corpus;
pub mod demo;
pub mod extract;
pub mod handlers;
pub mod mime;
pub mod module;
pub mod orders;
pub mod sources;

mod post;
mod read_order;
mod schema;

pub use crate::read_order::{ReadError, Reading, read_order};
