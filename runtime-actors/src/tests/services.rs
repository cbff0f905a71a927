//! The services as plain structs: no actor, no mailbox, no tree.

mod completion;
mod events;
mod executor;
mod leases;
mod status;
mod templates;
