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
pub mod corpus;
pub mod extract;
pub mod mime;

mod read_order;

pub use crate::read_order::{ReadError, Reading, read_order};
