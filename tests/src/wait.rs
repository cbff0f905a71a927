//! Waiting for what can be seen but not heard: a process or a file gives no signal, so it is looked at until it is as it should be.

use std::time::{Duration, Instant};

/// How long anything may take that is expected to happen. Generous: a machine under load is no fault.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` finds something; returns it.
///
/// # Panics
/// With `what`, when it is not there within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    eventually_async(what, async || look()).await
}

/// The same for a look that has to wait itself.
///
/// # Panics
/// With `what`, when it is not there within [`PATIENCE`].
pub async fn eventually_async<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look).await
}

/// The same with a patience of its own, for what is long by nature.
///
/// # Panics
/// With `what`, when it is not there in that time.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < patience, "waited {} s in vain for: {what}", patience.as_secs());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
