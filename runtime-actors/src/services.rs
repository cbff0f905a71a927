//! The services behind the actors: plain structs without a mailbox, each tested alone.

pub mod breakers;
pub mod completion;
pub(crate) mod drain;
pub(crate) mod dump;
pub mod events;
pub mod executor;
pub mod intake;
pub(crate) mod operations;
pub(crate) mod operator_run;
pub(crate) mod overrides;
pub(crate) mod queues;
pub mod schedules;
pub mod status;
pub mod steering;
pub(crate) mod telling;
pub mod templates;
pub(crate) mod wishes;
