//! The threads that run handlers, apart from those that run the tree.
//!
//! A handler that spins without yielding holds its thread. When all threads are held, a probe sent into the pool is no longer
//! answered: the pool is starved. Then a replacement pool of one thread takes what starts from here on, at most
//! [`MAX_REPLACEMENTS`] times; when the first pool answers again, it gets the work back.

use std::future::Future;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;

/// Replacement pools of one process.
pub const MAX_REPLACEMENTS: usize = 8;

/// How long a probe may stay unanswered.
const STARVED_AFTER: Duration = Duration::from_millis(500);

/// Where attempts run.
pub struct WorkPool {
    lanes: RwLock<Vec<Arc<Lane>>>,
    current: AtomicUsize,
    running: Arc<AtomicUsize>,
    owned: Mutex<Vec<Runtime>>,
    replaces: bool,
}

/// One runtime, and whether its probe came back.
pub(crate) struct Lane {
    handle: Handle,
    probe_out: AtomicBool,
    held: AtomicBool,
}

impl WorkPool {
    /// A pool of this many threads of its own.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn start(threads: NonZeroUsize) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads.get())
            .thread_name("work")
            .enable_all()
            .build()?;
        Ok(Self::of(runtime.handle().clone(), vec![runtime], true))
    }

    /// A pool on a runtime that is already there: for tests under a paused clock.
    pub fn shared(handle: Handle) -> Self {
        Self::of(handle, Vec::new(), false)
    }

    fn of(handle: Handle, owned: Vec<Runtime>, replaces: bool) -> Self {
        Self {
            lanes: RwLock::new(vec![Lane::new(handle)]),
            current: AtomicUsize::new(0),
            running: Arc::default(),
            owned: Mutex::new(owned),
            replaces,
        }
    }

    /// Runs a future on the pool's present lane.
    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawn_in_lane(future).0
    }

    /// The same for a future that runs for long: whoever owns it looks whether its lane goes on.
    pub(crate) fn spawn_in_lane<F>(&self, future: F) -> (JoinHandle<F::Output>, Arc<Lane>)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let running = Busy::new(self.running.clone());
        let future = async move {
            let _running = running;
            future.await
        };
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let lane = &lanes[self.current.load(Ordering::Relaxed).min(lanes.len() - 1)];
        (lane.handle.spawn(future), lane.clone())
    }

    /// Replacement pools in use.
    pub fn replacements(&self) -> usize {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).len() - 1
    }

    /// Whether the present lane is not the first: the instance is degraded.
    pub fn is_degraded(&self) -> bool {
        self.current.load(Ordering::Relaxed) > 0
    }

    /// Watches the lanes until dropped; calls `moved` each time work moved to another lane, so that attempts which have not
    /// begun, and sources, can move too. Costs nothing while nothing runs.
    pub(crate) async fn watch(&self, moved: impl Fn() + Send) {
        if !self.replaces {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(STARVED_AFTER).await;
            if self.running.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone();
            // A lane that has answered its last probe is fit for work; the first such is chosen.
            let fit = lanes.iter().position(|lane| !lane.probe_out.load(Ordering::Acquire));
            for lane in &lanes {
                lane.held.store(lane.probe_out.load(Ordering::Acquire), Ordering::Release);
                lane.probe();
            }
            let chosen = fit.or_else(|| self.replace());
            if let Some(chosen) = chosen
                && self.current.swap(chosen, Ordering::Relaxed) != chosen
            {
                tracing::warn!(
                    lane = chosen,
                    lanes = lanes.len(),
                    "handlers hold every thread of a work pool; work moves to another"
                );
                moved();
            }
        }
    }

    /// Adds a lane of one thread, when that is still allowed.
    fn replace(&self) -> Option<usize> {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() > MAX_REPLACEMENTS {
            return None;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("work-replacement")
            .enable_all()
            .build()
            .map_err(|error| tracing::error!(%error, "no thread for a replacement pool"))
            .ok()?;
        lanes.push(Lane::new(runtime.handle().clone()));
        self.owned.lock().unwrap_or_else(PoisonError::into_inner).push(runtime);
        Some(lanes.len() - 1)
    }

    /// Ends the threads. A handler that spins keeps its thread until the process ends; nobody waits for it.
    pub fn shutdown(&self) {
        for runtime in self.owned.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            runtime.shutdown_background();
        }
    }
}

impl Drop for WorkPool {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Lane {
    fn new(handle: Handle) -> Arc<Self> {
        Arc::new(Self { handle, probe_out: AtomicBool::new(false), held: AtomicBool::new(false) })
    }

    /// Whether handlers held every thread of it at the last look.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Sends a probe, unless one is still out.
    fn probe(self: &Arc<Self>) {
        if !self.probe_out.swap(true, Ordering::AcqRel) {
            let lane = self.clone();
            self.handle.spawn(async move { lane.probe_out.store(false, Ordering::Release) });
        }
    }
}

/// Counts one future that runs.
struct Busy(Arc<AtomicUsize>);

impl Busy {
    fn new(count: Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
