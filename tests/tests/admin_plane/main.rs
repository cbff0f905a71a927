//! The admin plane end to end: a real app on a real file, driven only by the client library and by `runtimectl`, as an operator would.

mod access;
mod canaries;
mod config;
mod dead_letters;
mod events;
mod health;
mod operations;
mod operators;
mod previews;
mod queues;
mod runtimectl;
mod schedules;
mod steering;
mod system;
mod tasks;
mod tls;
mod world;
