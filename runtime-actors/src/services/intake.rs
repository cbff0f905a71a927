//! The one way in for tasks that come as documents: a schedule's tick, an operator's enqueue.
//!
//! The app's own code makes a task of a typed input, from which everything else follows. A document has no type; its worker has. So
//! every door asks here, and a document becomes the very task that the typed input would have been: checked, and with the same key,
//! scope, tenant and ordering key.

use std::collections::HashMap;
use std::sync::Arc;

use runtime_core::handler::Handler;
use runtime_core::input::{Misfit, Misfits};
use runtime_core::name::Route;
use runtime_core::schedule::ScheduleSpec;
use runtime_core::task::NewTask;

use crate::registry::WorkerPlan;

/// The workers, by what their tasks name. Built before the tree, and never changed.
#[derive(Default)]
pub struct Intake(HashMap<Arc<Route>, Arc<dyn Handler>>);

impl Intake {
    /// The intake of these workers.
    pub fn of<'p>(workers: impl IntoIterator<Item = &'p WorkerPlan>) -> Self {
        let handler = |plan: &WorkerPlan| (plan.descriptor.route.clone(), plan.handler.clone());
        Self(workers.into_iter().map(handler).collect())
    }

    /// Whether a worker of this tree takes such tasks.
    pub fn serves(&self, route: &Route) -> bool {
        self.0.contains_key(route)
    }

    /// The task as its worker would have made it. One that no worker of this tree takes is left as it is: it waits for a process
    /// that knows it.
    ///
    /// # Errors
    /// Every misfit of its document, and what contradicts it.
    pub fn complete(&self, task: NewTask) -> Result<NewTask, Misfits> {
        match self.0.get(&task.route) {
            Some(handler) => handler.complete(task),
            None => Ok(task),
        }
    }

    /// What of a schedule does not fit its worker.
    pub fn misfits(&self, spec: &ScheduleSpec) -> Vec<Misfit> {
        spec.misfits(|task| self.complete(task))
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
