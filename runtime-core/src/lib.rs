//! Decides: the domain types, the ports and the pure rules of the runtime.
//!
//! ```text
//! source ─▶ queue ─▶ worker (executor) ─▶ attempt ─▶ handler ─▶ outcome ─▶ completion ─▶ queue/history/events
//!             ▲          ▲                                                        │
//!             └ settled ─┴──────────────────── a slot is free ◀───────────────────┘
//! ```
//!
//! No sockets, no spawned tasks, no actors, no wire, no clock reads: time is handed in. Whoever acts on these decisions lives in
//! another crate, and the crates meet at the traits declared here:
//!
//! | port | implemented by | used by |
//! | --- | --- | --- |
//! | [`store::Store`] | runtime-stores | the tree |
//! | [`control::Control`] | runtime-actors | the admin plane |
//! | [`handler::Handler`], [`source::Source`], [`health::HealthCheck`], [`rebuild::Rebuild`] | apps | the tree |
//! | [`clock::Clock`], [`trace::TraceBridge`] | runtime | everyone |

pub mod access;
pub mod audit;
pub mod clock;
pub mod control;
pub mod error;
pub mod etag;
pub mod event;
pub mod failpoint;
pub mod flow;
pub mod handler;
pub mod health;
pub mod input;
pub mod journal;
pub mod lifecycle;
pub mod limits;
pub mod name;
pub mod node;
pub mod operation;
pub mod outcome;
pub mod rebuild;
pub mod retry;
pub mod schedule;
pub mod source;
pub mod store;
pub mod supervision;
pub mod task;
pub mod trace;
pub mod worker;
