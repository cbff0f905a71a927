//! The tasks in memory: the one place where they enter or leave a state.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::access::Token;
use runtime_core::event::StoredEvent;
use runtime_core::flow::Bucket;
use runtime_core::lifecycle::{LifecycleEvent, LifecycleView, Transition, runs_alone, transition};
use runtime_core::limits::StoreLimits;
use runtime_core::name::{FlowKey, PrincipalName, QueueName, ScheduleName, StepName};
use runtime_core::node::{DesiredState, NodePath};
use runtime_core::operation::{Operation, OperationId};
use runtime_core::store::{ContentHash, Resized, StateCounts, StoredPrincipal, StoredSchedule};
use runtime_core::task::{AttemptRecord, Epoch, Lease, NewTask, Task, TaskId, TaskState};

use super::audit::Audit;
use super::enqueue::Known;
use super::line::Lines;
use crate::content;
use crate::hold_back::HoldBack;
use crate::lanes::Turn;
use crate::load::QueueLoad;
use crate::retention::Retention;

/// What a step was asked to do, and its result when there is one.
type Effect = (ContentHash, Option<Vec<u8>>);

/// Everything there is.
pub(super) struct State {
    pub(super) now: Timestamp,
    pub(super) closed: bool,
    pub(super) limits: StoreLimits,
    pub(super) retention: Retention,
    pub(super) live: BTreeMap<u64, Task>,
    pub(super) finished: BTreeMap<u64, Task>,
    pub(super) ended: HashMap<u64, Vec<AttemptRecord>>,
    pub(super) keys: HashMap<content::Hash, Known>,
    pub(super) effects: BTreeMap<(u64, StepName), Effect>,
    pub(super) outbox: Vec<StoredEvent>,
    pub(super) desired: BTreeMap<NodePath, DesiredState>,
    pub(super) resized: BTreeMap<NodePath, Resized>,
    pub(super) lines: Lines,
    pub(super) turns: BTreeMap<QueueName, Turn>,
    pub(super) loads: BTreeMap<QueueName, QueueLoad>,
    pub(super) buckets: BTreeMap<(QueueName, FlowKey), Bucket>,
    pub(super) priority_step: i64,
    pub(super) schedules: BTreeMap<ScheduleName, StoredSchedule>,
    pub(super) principals: BTreeMap<PrincipalName, StoredPrincipal>,
    /// Oldest first.
    pub(super) tokens: Vec<Token>,
    pub(super) audit: Audit,
    pub(super) operations: BTreeMap<OperationId, Operation>,
    pub(super) counts: BTreeMap<QueueName, StateCounts>,
    pub(super) hold_back: HoldBack,
    pub(super) woken: HashSet<QueueName>,
    pub(super) due_changed: bool,
    /// Rows of ready tasks in claim order.
    pub(super) ready: HashMap<QueueName, BTreeSet<(i64, u64)>>,
    /// Rows of leased tasks.
    pub(super) held: BTreeSet<u64>,
    salt: u64,
    last_row: u64,
    pub(super) last_position: u64,
    pub(super) last_operation: u64,
}

impl State {
    pub(super) fn new(salt: u64, limits: StoreLimits, retention: Retention) -> Self {
        Self {
            now: Timestamp::UNIX_EPOCH,
            closed: false,
            limits,
            retention,
            live: BTreeMap::new(),
            finished: BTreeMap::new(),
            ended: HashMap::new(),
            keys: HashMap::new(),
            effects: BTreeMap::new(),
            outbox: Vec::new(),
            desired: BTreeMap::new(),
            resized: BTreeMap::new(),
            lines: Lines::default(),
            turns: BTreeMap::new(),
            loads: BTreeMap::new(),
            buckets: BTreeMap::new(),
            priority_step: content::whole_step(crate::PRIORITY_STEP),
            schedules: BTreeMap::new(),
            principals: BTreeMap::new(),
            tokens: Vec::new(),
            audit: Audit::default(),
            operations: BTreeMap::new(),
            counts: BTreeMap::new(),
            hold_back: HoldBack::default(),
            woken: HashSet::new(),
            due_changed: false,
            ready: HashMap::new(),
            held: BTreeSet::new(),
            salt,
            last_row: 0,
            last_position: 0,
            last_operation: 0,
        }
    }

    pub(super) fn find(&self, id: TaskId) -> Option<&Task> {
        self.live.get(&id.row()).or_else(|| self.finished.get(&id.row())).filter(|task| task.id == id)
    }

    /// The task of a lease, if the lease is the task's live one.
    pub(super) fn leased(&mut self, lease: Lease) -> Option<&mut Task> {
        let task = self.live.get_mut(&lease.task.row())?;
        let fits = task.id == lease.task && task.state == TaskState::Leased && task.epoch == lease.epoch;
        fits.then_some(task)
    }

    /// A task that nobody knows yet.
    pub(super) fn insert(&mut self, new: NewTask) -> TaskId {
        self.last_row += 1;
        let id = TaskId::new(self.now, self.salt, self.last_row);
        let latest = new.idempotency_key.as_ref().and_then(|_| new.unique.latest(self.now));
        let run_at = content::due(&new, latest).filter(|run_at| *run_at > self.now);
        let task = Task {
            id,
            route: new.route,
            payload: new.payload,
            schema_version: new.schema_version,
            tenant: new.tenant,
            scope: new.scope,
            priority: new.priority,
            weight: new.weight,
            idempotency_key: new.idempotency_key,
            ordering_key: new.ordering_key,
            run_at: run_at.unwrap_or(self.now),
            deadline: new.deadline.map(content::whole_millis),
            state: if run_at.is_some() { TaskState::Scheduled } else { TaskState::Ready },
            held: None,
            attempt: 0,
            max_attempts: new.max_attempts.get(),
            crash_count: 0,
            epoch: Epoch(0),
            holder: None,
            trace: new.trace,
            correlation_id: new.correlation_id,
            causation_id: new.causation_id,
            created_at: self.now,
            checkpoint: None,
            progress: None,
            approved: false,
            edited: false,
            last_error: None,
            finished_at: None,
            output: None,
        };
        self.join_line(&task);
        self.add(task);
        id
    }

    /// Where it stands among the ready ones.
    pub(super) fn rank(&self, task: &Task) -> i64 {
        content::rank(task.run_at.as_millisecond(), task.priority, self.priority_step)
    }

    /// Puts a task where its state belongs.
    pub(super) fn add(&mut self, task: Task) {
        let (row, queue) = (task.id.row(), &task.route.queue);
        *self.counts.entry(queue.clone()).or_default().of_mut(task.state) += 1;
        match task.state {
            TaskState::Ready => {
                let rank = self.rank(&task);
                self.ready.entry(queue.clone()).or_default().insert((rank, row));
                self.woken.insert(queue.clone());
            }
            TaskState::Leased => drop(self.held.insert(row)),
            TaskState::Scheduled => self.due_changed = true,
            TaskState::Parked | TaskState::Done | TaskState::Dead | TaskState::Cancelled => {}
        }
        let place = if task.state.is_finished() { &mut self.finished } else { &mut self.live };
        place.insert(row, task);
    }

    /// Takes a task away from where its state belongs.
    pub(super) fn remove(&mut self, row: u64) -> Option<Task> {
        let task = self.live.remove(&row).or_else(|| self.finished.remove(&row))?;
        let (queue, rank) = (&task.route.queue, self.rank(&task));
        *self.counts.entry(queue.clone()).or_default().of_mut(task.state) -= 1;
        if let Some(ready) = self.ready.get_mut(queue) {
            ready.remove(&(rank, row));
        }
        self.held.remove(&row);
        Some(task)
    }

    /// Moves a task where a transition leads. A wait of zero is over at once.
    pub(super) fn place(&mut self, mut task: Task, next: Transition) -> TaskState {
        self.remove(task.id.row());
        let before = task.state;
        let was_alone = task.state == TaskState::Leased && runs_alone(task.crash_count);
        task.state = next.state;
        task.attempt = next.attempt;
        task.crash_count = next.crash_count;
        task.holder = None;
        if let Some(error) = next.error {
            task.last_error = Some(error);
        }
        if let Some(wait) = next.wait {
            task.run_at = after(self.now, wait);
            if let (true, Ok(ready)) = (task.run_at <= self.now, transition(view(&task), LifecycleEvent::Due))
            {
                task.state = ready.state;
            }
        }
        if task.state == TaskState::Parked {
            task.approved = false;
        }
        if task.state.is_finished() {
            task.finished_at = Some(self.now);
        }
        match (before.is_finished(), task.state.is_finished()) {
            (false, true) => self.leave_line(&task, task.state),
            (true, false) => self.join_line(&task),
            (true, true) => self.unblock(&task),
            (false, false) => {}
        }
        // A lane may have room now.
        if before == TaskState::Leased && self.policy(&task.route.queue).lanes.is_some() {
            self.woken.insert(task.route.queue.clone());
        }
        let state = task.state;
        self.add(task);
        self.wake_after_alone(was_alone);
        state
    }

    /// Whoever waited for a lone suspect to end, or for room to run one, looks again.
    fn wake_after_alone(&mut self, was_alone: bool) {
        if was_alone {
            self.wake_everybody();
        } else if self.held.is_empty() {
            let waiting: Vec<_> = self.live.values().filter(|task| is_ready_suspect(task)).collect();
            self.woken.extend(waiting.into_iter().map(|task| task.route.queue.clone()));
        }
    }

    pub(super) fn wake_everybody(&mut self) {
        self.woken.extend(self.counts.keys().cloned());
    }
}

pub(super) fn view(task: &Task) -> LifecycleView {
    LifecycleView {
        state: task.state,
        attempt: task.attempt,
        max_attempts: task.max_attempts,
        crash_count: task.crash_count,
    }
}

pub(super) fn is_ready_suspect(task: &Task) -> bool {
    task.state == TaskState::Ready && runs_alone(task.crash_count)
}

pub(super) fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(now.as_millisecond().saturating_add(wait)).unwrap_or(Timestamp::MAX)
}
