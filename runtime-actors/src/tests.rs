//! The tree under test: each file one story. Paused clock, one thread, memory store, unless a file says otherwise.

mod kit;
mod smoke;
