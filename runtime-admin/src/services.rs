//! The services of the API, one file each. They convert, ask the tree and convert back; they decide nothing.

mod audit;
mod config;
mod dead_letters;
mod diagnostics;
mod events;
mod operations;
mod principals;
mod progress;
mod queues;
mod schedules;
mod system;
mod tasks;
mod tree;
mod workers;

pub(crate) use audit::Audit;
pub(crate) use config::Config;
pub(crate) use dead_letters::DeadLetters;
pub(crate) use diagnostics::Diagnostics;
pub(crate) use events::Events;
pub(crate) use operations::Operations;
pub(crate) use principals::Principals;
pub(crate) use queues::Queues;
pub(crate) use schedules::Schedules;
pub(crate) use system::System;
pub(crate) use tasks::Tasks;
pub(crate) use tree::Tree;
pub(crate) use workers::Workers;
