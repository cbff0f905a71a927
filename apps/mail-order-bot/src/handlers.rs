//! The app's handlers: what the platform runs for each task.

pub mod orders;
pub mod replies;
