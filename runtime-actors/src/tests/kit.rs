//! A small world for tests: a tree on a store that can be told to fail, with handlers that are closures, and an outside for sources.

mod faulty_store;
mod grove;
mod handlers;
mod outside;
mod probe;
mod world;

pub(crate) use faulty_store::{FaultyStore, Gate, StoreCall};
pub(crate) use grove::{BUDGET, Grown};
pub(crate) use handlers::{done, from_fn, once_told};
pub(crate) use outside::{Facts, Outside, Refusal, Trouble, Well, listening, reporter};
pub(crate) use probe::Probe;
pub(crate) use world::{PausedClock, World, Worlds, path, platform, route, timing, worker};
