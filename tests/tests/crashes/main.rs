//! Processes that die, stall, come back, or are told to end: what was accepted is done, once.

mod chaos;
mod ends;
mod failpoints;
mod full_disk;
mod operations;
mod poison;
mod world;
mod zombies;
