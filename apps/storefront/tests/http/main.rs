//! The request path as its callers see it: a running shop on a free port, and a plain HTTP client.

mod idempotency;
mod kit;
mod limits;
mod validation;
