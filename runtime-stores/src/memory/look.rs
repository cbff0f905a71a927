//! The read path in memory.

use runtime_core::store::{QueueStats, TaskFilter, TaskPage};
use runtime_core::task::{AttemptRecord, Task, TaskId};

use super::state::State;

impl State {
    pub(super) fn attempts(&self, id: TaskId) -> Vec<AttemptRecord> {
        if self.find(id).is_none() {
            return Vec::new();
        }
        self.ended.get(&id.row()).cloned().unwrap_or_default()
    }

    pub(super) fn list(&self, filter: &TaskFilter, after: Option<TaskId>, page_size: usize) -> TaskPage {
        let mut fitting: Vec<&Task> = self
            .live
            .values()
            .chain(self.finished.values())
            .filter(|task| after.is_none_or(|after| task.id.row() < after.row()) && fits(filter, task))
            .collect();
        fitting.sort_by_key(|task| std::cmp::Reverse(task.id.row()));
        let more = fitting.len() > page_size;
        fitting.truncate(page_size);
        let next = if more { fitting.last().map(|task| task.id) } else { None };
        TaskPage { tasks: fitting.into_iter().map(|task| self.shown(task)).collect(), next }
    }

    pub(super) fn queue_stats(&self) -> Vec<QueueStats> {
        let capacity = self.limits.queue_capacity;
        self.counts
            .iter()
            .map(|(queue, counts)| {
                let rows =
                    self.ready.get(queue).into_iter().flatten().filter_map(|(_, row)| self.live.get(row));
                let oldest_ready =
                    rows.filter(|task| self.held(task).is_none()).map(|task| task.run_at).next();
                QueueStats { queue: queue.clone(), counts: *counts, oldest_ready, capacity }
            })
            .collect()
    }
}

fn fits(filter: &TaskFilter, task: &Task) -> bool {
    fn same<T: PartialEq>(wanted: &Option<T>, got: Option<&T>) -> bool {
        wanted.as_ref().is_none_or(|wanted| Some(wanted) == got)
    }
    (filter.states.is_empty() || filter.states.contains(&task.state))
        && same(&filter.app, Some(&task.route.app))
        && same(&filter.queue, Some(&task.route.queue))
        && same(&filter.handler, Some(&task.route.handler))
        && same(&filter.tenant, task.tenant.as_ref())
        && same(&filter.scope, task.scope.as_ref())
        && same(&filter.code, task.last_error.as_ref().map(|error| &error.code))
}
