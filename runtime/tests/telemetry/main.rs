//! Logs as they are written, and traces, metrics and logs as a real OTLP receiver gets them over a socket.

mod filter;
mod logs;
mod metrics;
mod sending;
mod traces;
mod world;
