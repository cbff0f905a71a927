//! Leased tasks on their way into an executor.

use std::sync::Arc;

use runtime_core::task::LeasedTask;

use crate::attempt::{WorkerRun, release};

/// Leases that were granted and not yet taken up. Wherever they get lost, in the mailbox of an executor that ends or on the way
/// there, they are given back at once: nothing waits for a lease to run out.
pub(crate) struct Granted {
    run: Arc<WorkerRun>,
    tasks: Vec<LeasedTask>,
}

impl Granted {
    /// Notes the leases in the book, so that they are extended from here on.
    pub(crate) fn new(run: &Arc<WorkerRun>, tasks: Vec<LeasedTask>) -> Self {
        run.platform.leases.add(tasks.iter().map(|leased| leased.lease));
        Self { run: run.clone(), tasks }
    }

    /// Takes them up.
    pub(crate) fn take(mut self) -> Vec<LeasedTask> {
        std::mem::take(&mut self.tasks)
    }
}

impl Drop for Granted {
    fn drop(&mut self) {
        release(&self.run, std::mem::take(&mut self.tasks));
    }
}
