//! Who stands in line: tasks behind the head of their ordering key, and tasks of a paused scope.
//!
//! Invariant: a live task with an ordering key is its key's head, or waits behind another live one or behind a dead one that blocks.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_trait::async_trait;
use jiff::Timestamp;
use runtime_core::name::{OrderingKey, QueueName, Scope};
use runtime_core::store::{
    OrderingHead, OrderingHeads, OverriddenQueue, PausedScope, QueueChange, QueueFlow, QueueLook,
    QueuePolicy, StoreError,
};
use runtime_core::task::{Held, Task, TaskState};

use super::MemoryStore;
use super::state::State;
use crate::rules::Rules;

/// What is common to the tasks of one ordering key.
type Line = (QueueName, OrderingKey);

/// What orders and holds tasks.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Rows of live tasks whose turn it is.
    heads: BTreeMap<Line, u64>,
    /// Rows of dead tasks that block.
    blockers: BTreeMap<Line, u64>,
    paused: BTreeMap<(QueueName, Scope), (String, Timestamp)>,
    /// Of queues that have any.
    pub(super) rules: BTreeMap<QueueName, Rules>,
}

fn line_of(task: &Task) -> Option<Line> {
    Some((task.route.queue.clone(), task.ordering_key.clone()?))
}

impl State {
    /// A live task came in, or came back from history.
    pub(super) fn join_line(&mut self, task: &Task) {
        let (Some(line), row) = (line_of(task), task.id.row()) else { return };
        if self.lines.blockers.get(&line) == Some(&row) {
            self.lines.blockers.remove(&line);
        }
        if !self.lines.blockers.contains_key(&line) {
            self.lines.heads.entry(line).or_insert(row);
        }
    }

    /// A live task has finished, or was taken back.
    pub(super) fn leave_line(&mut self, task: &Task, ended: TaskState) {
        let (Some(line), row) = (line_of(task), task.id.row()) else { return };
        if self.lines.heads.get(&line) != Some(&row) {
            return;
        }
        self.lines.heads.remove(&line);
        if ended == TaskState::Dead && self.policy(&line.0).dead_head_blocks {
            self.lines.blockers.insert(line, row);
        } else {
            self.let_next_go(line, row);
        }
    }

    /// A finished task no longer blocks its key, if it did.
    pub(super) fn unblock(&mut self, task: &Task) {
        if let Some(line) = line_of(task).filter(|_| self.blocks(task)) {
            self.lines.blockers.remove(&line);
            self.let_next_go(line, task.id.row());
        }
    }

    fn let_next_go(&mut self, line: Line, ended: u64) {
        let next = self.live.iter().find(|(row, task)| {
            **row != ended && task.ordering_key.as_ref() == Some(&line.1) && task.route.queue == line.0
        });
        if let Some((row, _)) = next {
            self.woken.insert(line.0.clone());
            self.lines.heads.insert(line, *row);
        }
    }

    /// Whether history must keep this task, because it blocks its key.
    pub(super) fn blocks(&self, task: &Task) -> bool {
        line_of(task).is_some_and(|line| self.lines.blockers.get(&line) == Some(&task.id.row()))
    }

    /// What leases of a queue go by.
    pub(super) fn policy(&self, queue: &QueueName) -> &QueuePolicy {
        static DEFAULT: LazyLock<QueuePolicy> = LazyLock::new(QueuePolicy::default);
        self.lines.rules.get(queue).map_or(&DEFAULT, Rules::policy)
    }

    /// Why a live task has to wait although it may be due.
    pub(super) fn held(&self, task: &Task) -> Option<Held> {
        if task.state.is_finished() {
            return None;
        }
        let row = task.id.row();
        let behind = line_of(task)
            .and_then(|line| self.lines.heads.get(&line).or_else(|| self.lines.blockers.get(&line)))
            .filter(|head| **head != row)
            .and_then(|head| self.live.get(head).or_else(|| self.finished.get(head)))
            .map(|head| head.id);
        let paused =
            |scope: &Scope| self.lines.paused.contains_key(&(task.route.queue.clone(), scope.clone()));
        let scope_paused = task.scope.as_ref().is_some_and(paused);
        (behind.is_some() || scope_paused).then_some(Held { behind, scope_paused })
    }

    /// A task as readers see it.
    pub(super) fn shown(&self, task: &Task) -> Task {
        Task { held: self.held(task), ..task.clone() }
    }

    fn set_policy(&mut self, queue: QueueName, policy: QueuePolicy) {
        if !policy.dead_head_blocks {
            let blocked: Vec<Line> =
                self.lines.blockers.keys().filter(|(of, _)| *of == queue).cloned().collect();
            for line in blocked {
                if let Some(row) = self.lines.blockers.remove(&line) {
                    self.let_next_go(line, row);
                }
            }
        }
        if self.policy(&queue).shed != policy.shed {
            self.loads.entry(queue.clone()).or_default().begin_anew();
        }
        self.change_rules(queue, |rules| rules.declare(policy));
    }

    /// Changes what holds for a queue, and keeps no rules of one that has none.
    fn change_rules<T>(&mut self, queue: QueueName, change: impl FnOnce(&mut Rules) -> T) -> T {
        let rules = self.lines.rules.entry(queue.clone()).or_default();
        let changed = change(rules);
        if rules.are_default() {
            self.lines.rules.remove(&queue);
        }
        self.woken.insert(queue);
        changed
    }

    fn ordering_heads(&self, queue: &QueueName, at_most: usize) -> OrderingHeads {
        let lines = self.lines.heads.iter().chain(&self.lines.blockers).filter(|((of, _), _)| of == queue);
        let mut heads: Vec<OrderingHead> = lines
            .filter_map(|(line, row)| {
                let task = self.live.get(row).or_else(|| self.finished.get(row))?;
                let stuck = match task.state {
                    TaskState::Ready => self.held(task).is_some(),
                    TaskState::Leased => false,
                    _ => true,
                };
                let behind = self.live.values().filter(|other| other.id != task.id);
                let waiting = behind.filter(|other| line_of(other).as_ref() == Some(line)).count() as u64;
                let (task, state) = (task.id, task.state);
                (stuck && waiting > 0).then(|| OrderingHead { key: line.1.clone(), task, state, waiting })
            })
            .collect();
        heads.sort_by(|a, b| a.key.cmp(&b.key));
        let whole = heads.len() <= at_most;
        heads.truncate(at_most);
        OrderingHeads { heads, whole }
    }

    fn paused_scopes(&self) -> impl Iterator<Item = PausedScope> {
        self.lines.paused.iter().map(|((queue, scope), (reason, since))| PausedScope {
            queue: queue.clone(),
            scope: scope.clone(),
            reason: reason.clone(),
            since: *since,
        })
    }

    /// Whether this task is live and nothing holds it.
    pub(super) fn is_free(&self, row: u64) -> bool {
        self.live.get(&row).is_some_and(|task| self.held(task).is_none())
    }
}

#[async_trait]
impl QueueFlow for MemoryStore {
    async fn set_queue_policy(&self, queue: QueueName, policy: QueuePolicy) -> Result<(), StoreError> {
        self.change(|state| state.set_policy(queue, policy))
    }

    async fn override_queue(
        &self,
        queue: QueueName,
        change: QueueChange,
        reason: String,
    ) -> Result<Option<OverriddenQueue>, StoreError> {
        self.change(|state| {
            let now = state.now;
            let name = queue.clone();
            state.change_rules(queue, |rules| rules.change(&change, &reason, now).map(|said| said.of(&name)))
        })
    }

    async fn overridden_queues(&self) -> Result<Vec<OverriddenQueue>, StoreError> {
        let state = self.look()?;
        let said = state.lines.rules.iter().filter_map(|(queue, rules)| Some(rules.said()?.of(queue)));
        Ok(said.collect())
    }

    async fn look_at_queue(&self, queue: QueueName, heads_at_most: usize) -> Result<QueueLook, StoreError> {
        let state = self.look()?;
        let rules = state.lines.rules.get(&queue);
        Ok(QueueLook {
            stats: state.queue_stats().into_iter().find(|stats| stats.queue == queue),
            policy: rules.map(|rules| rules.declared().clone()).unwrap_or_default(),
            overridden: rules.and_then(|rules| Some(rules.said()?.of(&queue))),
            paused_scopes: state.paused_scopes().filter(|paused| paused.queue == queue).collect(),
            heads: state.ordering_heads(&queue, heads_at_most),
        })
    }

    async fn pause_scope(
        &self,
        queue: QueueName,
        scope: Scope,
        paused: bool,
        reason: String,
    ) -> Result<bool, StoreError> {
        self.change(|state| {
            if paused {
                let since = state.now;
                state.lines.paused.insert((queue, scope), (reason, since)).is_some()
            } else {
                state.woken.insert(queue.clone());
                state.lines.paused.remove(&(queue, scope)).is_some()
            }
        })
    }

    async fn pause_delay(&self, queue: QueueName, paused: bool) -> Result<(), StoreError> {
        self.change(|state| state.pause_delay(queue, paused))
    }

    async fn paused_scopes(&self) -> Result<Vec<PausedScope>, StoreError> {
        Ok(self.look()?.paused_scopes().collect())
    }
}
