//! The services behind the actors: plain structs without a mailbox, each tested alone.

pub mod breakers;
pub mod completion;
pub mod events;
pub mod executor;
pub(crate) mod operator_run;
pub mod schedules;
pub mod status;
pub mod steering;
pub mod templates;
