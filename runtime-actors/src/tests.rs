//! The tree under test: each file one story. Paused clock, one thread, memory store, unless a file says otherwise.

mod kit;
mod sabotage;

mod attempts;
mod breakers;
mod duties;
mod faults;
mod flow;
mod gaps;
mod inputs;
mod journal;
mod kinds;
mod matrix;
mod nodes;
mod operators;
mod real_time;
mod schedules;
mod services;
mod shedding;
mod shutdown;
mod smoke;
mod supervision;

pub(crate) use sabotage::{How, Point, Sabotage};
