//! Operations: documents that change together with the tasks they are about.

use runtime_core::operation::{Operation, OperationCounts, OperationId, OperationSpec, OperationState};
use runtime_core::store::{KEPT_OPERATIONS, OperationStep, Revision, SteerError, Stepped};
use runtime_core::task::{TaskId, TaskState};

use super::state::{State, after};

impl State {
    pub(super) fn start_operation(&mut self, spec: OperationSpec) -> Operation {
        self.last_operation += 1;
        let operation = Operation {
            id: OperationId(self.last_operation),
            spec,
            state: OperationState::Running,
            revision: Revision::FIRST,
            cursor: None,
            counts: OperationCounts::default(),
            created_at: self.now,
            next_at: self.now,
            finished_at: None,
            error: None,
        };
        self.operations.insert(operation.id, operation.clone());
        let finished: Vec<OperationId> =
            self.operations.values().filter(|known| !known.is_running()).map(|known| known.id).collect();
        for id in finished.iter().rev().skip(KEPT_OPERATIONS.into()) {
            self.operations.remove(id);
        }
        operation
    }

    pub(super) fn operations(&self, before: Option<OperationId>, page_size: usize) -> Vec<Operation> {
        let newest = self.operations.values().rev();
        newest
            .filter(|known| before.is_none_or(|before| known.id < before))
            .take(page_size)
            .cloned()
            .collect()
    }

    pub(super) fn step_operation(&mut self, step: OperationStep) -> Stepped {
        let known = self.operations.get(&step.id);
        let Some(mut operation) =
            known.filter(|known| known.is_running() && known.revision == step.revision).cloned()
        else {
            return Stepped::Conflict;
        };
        let under_way = self.act(&mut operation, &step.tasks);
        operation.revision = operation.revision.next();
        operation.cursor = step.cursor;
        operation.next_at = after(self.now, step.wait);
        operation.state = step.state;
        operation.finished_at = (!operation.is_running()).then_some(self.now);
        operation.error = step.error;
        self.operations.insert(operation.id, operation.clone());
        Stepped::Done { operation: Box::new(operation), under_way }
    }

    /// Changes the tasks and counts them. Returns those that are under way.
    fn act(&mut self, operation: &mut Operation, tasks: &[TaskId]) -> Vec<TaskId> {
        let mut under_way = Vec::new();
        for id in tasks {
            if !self.find(*id).is_some_and(|task| operation.spec.filter.fits(task)) {
                operation.counts.skipped += 1;
                continue;
            }
            match self.steer(*id, operation.spec.kind.command(&operation.spec.reason)) {
                Ok(_) => operation.counts.done += 1,
                Err(SteerError::NotAllowed(refused)) if refused.state == TaskState::Leased => {
                    under_way.push(*id)
                }
                Err(_) => operation.counts.failed += 1,
            }
        }
        under_way
    }
}
