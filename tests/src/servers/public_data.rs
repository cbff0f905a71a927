//! Where the public data sets are that `cargo xtask data` fetched.

use std::path::PathBuf;

use super::{ServerError, place};

/// The folder of MovieLens 100k.
///
/// # Errors
/// When `RUNTIME_MOVIELENS` is not set.
pub fn movielens() -> Result<PathBuf, ServerError> {
    place("RUNTIME_MOVIELENS")
}

/// The folder of The Complete Journey's transactions.
///
/// # Errors
/// When `RUNTIME_COMPLETE_JOURNEY` is not set.
pub fn complete_journey() -> Result<PathBuf, ServerError> {
    place("RUNTIME_COMPLETE_JOURNEY")
}

/// The folder of CDNOW's purchases.
///
/// # Errors
/// When `RUNTIME_CDNOW` is not set.
pub fn cdnow() -> Result<PathBuf, ServerError> {
    place("RUNTIME_CDNOW")
}
