//! The workers, one for each of the six obligations and the sweep of a schedule: each is an input that says everything, a handler that asks the domain, and a rebuild where what it
//! writes is a projection.

pub mod expire;
pub mod grace;
pub mod notify;
pub mod recommend;
pub mod rollup;
pub mod settle;
pub mod sweep;
