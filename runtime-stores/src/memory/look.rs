//! The read path in memory.

use std::collections::BTreeMap;

use runtime_core::name::Route;
use runtime_core::store::{
    DeadGroup, DeadGroups, Expr, QueueStats, StateCounts, TaskCount, TaskFilter, TaskPage, TaskTest,
};
use runtime_core::task::{AttemptRecord, Task, TaskId, TaskState};

use super::state::State;
use crate::load::QueueLoad;

impl State {
    pub(super) fn attempts(&self, id: TaskId) -> Vec<AttemptRecord> {
        if self.find(id).is_none() {
            return Vec::new();
        }
        self.ended.get(&id.row()).cloned().unwrap_or_default()
    }

    pub(super) fn list(&self, filter: &TaskFilter, after: Option<TaskId>, page_size: usize) -> TaskPage {
        let expr = filter.expr();
        let mut fitting: Vec<&Task> = self
            .live
            .values()
            .chain(self.finished.values())
            .filter(|task| after.is_none_or(|after| task.id.row() < after.row()) && fits(&expr, task))
            .collect();
        fitting.sort_by_key(|task| std::cmp::Reverse(task.id.row()));
        let more = fitting.len() > page_size;
        fitting.truncate(page_size);
        let next = if more { fitting.last().map(|task| task.id) } else { None };
        TaskPage { tasks: fitting.into_iter().map(|task| self.shown(task)).collect(), next }
    }

    pub(super) fn walk(&self, filter: &TaskFilter, after: Option<TaskId>, up_to: usize) -> Vec<TaskId> {
        let expr = filter.expr();
        let mut fitting: Vec<TaskId> = self
            .live
            .values()
            .chain(self.finished.values())
            .filter(|task| after.is_none_or(|after| task.id.row() > after.row()) && fits(&expr, task))
            .map(|task| task.id)
            .collect();
        fitting.sort_by_key(|id| id.row());
        fitting.truncate(up_to);
        fitting
    }

    pub(super) fn count(&self, filter: &TaskFilter, look_at_most: u64) -> TaskCount {
        let expr = filter.expr();
        let mut counted = TaskCount { counts: StateCounts::default(), whole: true };
        for tasks in [&self.live, &self.finished] {
            let most = usize::try_from(look_at_most).unwrap_or(usize::MAX);
            let looked_at = tasks.values().take(most);
            looked_at
                .filter(|task| fits(&expr, task))
                .for_each(|task| *counted.counts.of_mut(task.state) += 1);
            counted.whole &= tasks.len() <= most;
        }
        counted
    }

    pub(super) fn dead_groups(&self, filter: TaskFilter, look_at_most: u64) -> DeadGroups {
        let Some(filter) = filter.of_the_dead() else { return DeadGroups::default() };
        let expr = filter.expr();
        let most = usize::try_from(look_at_most).unwrap_or(usize::MAX);
        let dead = || self.finished.values().filter(|task| task.state == TaskState::Dead);
        let whole = dead().count() <= most;
        let mut groups: BTreeMap<_, DeadGroup> = BTreeMap::new();
        for task in dead().take(most).filter(|task| fits(&expr, task)) {
            let (Some(error), Some(at)) = (&task.last_error, task.finished_at) else { continue };
            let Route { app, queue, handler } = &*task.route;
            let key = (app.clone(), queue.clone(), handler.clone(), error.code.as_str());
            let group = groups.entry(key).or_insert_with(|| DeadGroup {
                app: app.clone(),
                queue: queue.clone(),
                handler: handler.clone(),
                code: error.code,
                count: 0,
                whole,
                oldest: at,
                newest: at,
                example: task.id,
            });
            group.count += 1;
            group.oldest = group.oldest.min(at);
            if (at, task.id.row()) >= (group.newest, group.example.row()) {
                (group.newest, group.example) = (at, task.id);
            }
        }
        DeadGroups { groups: groups.into_values().collect(), whole }
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
                let shed = self.loads.get(queue).map(QueueLoad::view).unwrap_or_default();
                let limited_until = self.turns.get(queue).and_then(|turn| turn.limited_until);
                QueueStats {
                    queue: queue.clone(),
                    counts: *counts,
                    oldest_ready,
                    capacity,
                    shed,
                    limited_until,
                }
            })
            .collect()
    }
}

fn fits(expr: &Expr<TaskTest>, task: &Task) -> bool {
    expr.holds(&|test| test.fits(task))
}
