//! The admin plane over a real loopback connection with the real client, in front of a tree held in memory.

mod api;
mod auth;
mod authority;
mod broken_line;
mod canary;
mod cli;
mod contract;
mod control;
mod events;
mod guarded;
mod health;
mod help;
mod hostile;
mod journal;
mod limits;
mod mtls;
mod profiles;
mod raw;
mod reach;
mod records;
mod schedules;
mod standing;
mod terminal;
mod tls;
mod watching;
mod world;
