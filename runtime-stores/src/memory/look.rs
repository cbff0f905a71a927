//! The read path in memory.

use std::collections::BTreeMap;

use runtime_core::name::Route;
use runtime_core::store::{DeadGroup, QueueStats, TaskFilter, TaskPage};
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

    pub(super) fn dead_groups(&self, filter: TaskFilter) -> Vec<DeadGroup> {
        let Some(filter) = filter.of_the_dead() else { return Vec::new() };
        let mut groups: BTreeMap<_, DeadGroup> = BTreeMap::new();
        // In the order of their rows: the last one is the example.
        for task in self.finished.values().filter(|task| fits(&filter, task)) {
            let (Some(error), Some(at)) = (&task.last_error, task.finished_at) else { continue };
            let Route { app, queue, handler } = &*task.route;
            let key = (app.clone(), queue.clone(), handler.clone(), error.code.as_str());
            let group = groups.entry(key).or_insert_with(|| DeadGroup {
                app: app.clone(),
                queue: queue.clone(),
                handler: handler.clone(),
                code: error.code,
                count: 0,
                oldest: at,
                newest: at,
                example: task.id,
            });
            group.count += 1;
            group.oldest = group.oldest.min(at);
            group.newest = group.newest.max(at);
            group.example = task.id;
        }
        groups.into_values().collect()
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
        && same(&filter.error_class, task.last_error.as_ref().map(|error| error.code.class()).as_ref())
        && filter.created_since.is_none_or(|since| task.created_at >= since)
        && filter.created_until.is_none_or(|until| task.created_at < until)
        && filter.finished_since.is_none_or(|since| task.finished_at.is_some_and(|at| at >= since))
        && filter.finished_until.is_none_or(|until| task.finished_at.is_some_and(|at| at < until))
}
