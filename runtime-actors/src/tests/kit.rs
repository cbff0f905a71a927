//! A small world for tests: a tree on a store that can be told to fail, with handlers that are closures.

mod faulty_store;
mod handlers;
mod world;

pub(crate) use faulty_store::{FaultyStore, Gate, StoreCall};
pub(crate) use handlers::{FromFn, done, from_fn};
pub(crate) use world::{PausedClock, World, Worlds, path, timing, worker};
