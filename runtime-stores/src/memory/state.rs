//! The write path in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::event::StoredEvent;
use runtime_core::lifecycle::{LifecycleEvent, LifecycleView, Transition, runs_alone, transition};
use runtime_core::limits::StoreLimits;
use runtime_core::name::{InstanceName, QueueName, StepName};
use runtime_core::node::{DesiredState, NodePath};
use runtime_core::outcome::{Outcome, SettleWith, Settled, Settlement};
use runtime_core::store::{Capability, ContentHash, EnqueueError, Enqueued, LeaseAsk, StateCounts};
use runtime_core::task::{
    AttemptRecord, Epoch, Lease, LeasedTask, NewTask, Priority, Task, TaskId, TaskState,
};

use crate::content;
use crate::hold_back::HoldBack;
use crate::retention::Retention;

/// What a key is remembered with.
pub(super) struct Known {
    content: content::Hash,
    pub(super) id: TaskId,
    /// Once history forgot the task: its last state, and until when the key is kept.
    pub(super) outlived: Option<(TaskState, Timestamp)>,
}

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
    pub(super) counts: BTreeMap<QueueName, StateCounts>,
    pub(super) hold_back: HoldBack,
    pub(super) woken: HashSet<QueueName>,
    pub(super) due_changed: bool,
    /// Rows of ready tasks in claim order.
    pub(super) ready: HashMap<QueueName, BTreeSet<(Priority, u64)>>,
    /// Rows of leased tasks.
    pub(super) held: BTreeSet<u64>,
    salt: u64,
    last_row: u64,
    last_position: u64,
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
            counts: BTreeMap::new(),
            hold_back: HoldBack::default(),
            woken: HashSet::new(),
            due_changed: false,
            ready: HashMap::new(),
            held: BTreeSet::new(),
            salt,
            last_row: 0,
            last_position: 0,
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

    // ---- tasks come in

    /// One task: new, known, or refused. Only what comes from outside is bounded.
    pub(super) fn take_in(&mut self, new: NewTask, outside: bool) -> Result<Enqueued, EnqueueError> {
        content::check(&new, &self.limits)?;
        let queue = new.route.queue.clone();
        let key =
            new.idempotency_key.as_ref().map(|key| (content::key_hash(&queue, key), content::hash(&new)));
        if let Some((hash, content)) = &key
            && let Some(known) = self.known(hash)
        {
            if known.content != *content {
                return Err(EnqueueError::IdempotencyConflict { existing: known.id });
            }
            let (id, outlived) = (known.id, known.outlived);
            let state = self.find(id).map(|task| task.state).or(outlived.map(|(state, _)| state));
            return Ok(Enqueued::Duplicate { id, state: state.unwrap_or(TaskState::Done) });
        }
        let capacity = self.limits.queue_capacity;
        if outside && self.counts.get(&queue).map_or(0, StateCounts::live) >= capacity {
            return Err(EnqueueError::QueueFull { queue, capacity });
        }
        let id = self.insert(new);
        if let Some((hash, content)) = key {
            self.keys.insert(hash, Known { content, id, outlived: None });
        }
        Ok(Enqueued::Accepted { id })
    }

    fn known(&mut self, hash: &content::Hash) -> Option<&Known> {
        let now = self.now;
        if self.keys.get(hash)?.outlived.is_some_and(|(_, until)| until <= now) {
            self.keys.remove(hash);
        }
        self.keys.get(hash)
    }

    /// All of them, or none.
    pub(super) fn take_in_whole(
        &mut self,
        tasks: Vec<NewTask>,
        outside: bool,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let mut taken = Vec::with_capacity(tasks.len());
        for task in tasks {
            match self.take_in(task, outside) {
                Ok(enqueued) => taken.push(enqueued),
                Err(refused) => {
                    self.take_back(&taken);
                    return Err(refused);
                }
            }
        }
        Ok(taken)
    }

    fn take_back(&mut self, taken: &[Enqueued]) {
        for enqueued in taken {
            if let Enqueued::Accepted { id } = enqueued
                && let Some(task) = self.remove(id.row())
            {
                self.keys.retain(|_, known| known.id != task.id);
            }
        }
    }

    fn insert(&mut self, new: NewTask) -> TaskId {
        self.last_row += 1;
        let id = TaskId::new(self.now, self.salt, self.last_row);
        let run_at = new.run_at.map(whole_millis).filter(|run_at| *run_at > self.now);
        let task = Task {
            id,
            route: new.route,
            payload: new.payload,
            schema_version: new.schema_version,
            tenant: new.tenant,
            scope: new.scope,
            priority: new.priority,
            idempotency_key: new.idempotency_key,
            ordering_key: new.ordering_key,
            run_at: run_at.unwrap_or(self.now),
            deadline: new.deadline.map(whole_millis),
            state: if run_at.is_some() { TaskState::Scheduled } else { TaskState::Ready },
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
            last_error: None,
            finished_at: None,
            output: None,
        };
        self.add(task);
        id
    }

    // ---- the one place where a task enters or leaves a state

    /// Puts a task where its state belongs.
    pub(super) fn add(&mut self, task: Task) {
        let (row, queue) = (task.id.row(), &task.route.queue);
        *self.counts.entry(queue.clone()).or_default().of_mut(task.state) += 1;
        match task.state {
            TaskState::Ready => {
                self.ready.entry(queue.clone()).or_default().insert((task.priority, row));
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
        let queue = &task.route.queue;
        *self.counts.entry(queue.clone()).or_default().of_mut(task.state) -= 1;
        if let Some(ready) = self.ready.get_mut(queue) {
            ready.remove(&(task.priority, row));
        }
        self.held.remove(&row);
        Some(task)
    }

    /// Moves a task where a transition leads. A wait of zero is over at once.
    pub(super) fn place(&mut self, mut task: Task, next: Transition) -> TaskState {
        self.remove(task.id.row());
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

    // ---- leases

    pub(super) fn lease(&mut self, ask: &LeaseAsk) -> Vec<LeasedTask> {
        if ask.up_to == 0 || self.holds(&ask.instance, |task| runs_alone(task.crash_count)) {
            return Vec::new();
        }
        let holds_any = self.holds(&ask.instance, |_| true);
        if let Some(id) = ask.task {
            let Some(task) = self.live.get(&id.row()).filter(|task| task.id == id) else { return Vec::new() };
            let fits = task.state == TaskState::Ready && task.route.queue == ask.queue;
            if !fits || (runs_alone(task.crash_count) && holds_any) {
                return Vec::new();
            }
            return self.grant(id.row(), ask).into_iter().collect();
        }
        let rows: Vec<u64> = self
            .ready
            .get(&ask.queue)
            .map(|ready| ready.iter().map(|(_, row)| *row).collect())
            .unwrap_or_default();
        let (suspects, others): (Vec<u64>, Vec<u64>) =
            rows.into_iter().partition(|row| self.live.get(row).is_some_and(is_ready_suspect));
        if let Some(suspect) = suspects.into_iter().min() {
            if !holds_any {
                self.hold_back = HoldBack::default();
                return self.grant(suspect, ask).into_iter().collect();
            }
            let lease_for = i64::try_from(ask.lease_for.as_millis()).unwrap_or(i64::MAX);
            self.hold_back.begin(self.now.as_millisecond(), lease_for);
        }
        if self.hold_back.is_on(self.now.as_millisecond()) {
            return Vec::new();
        }
        let up_to = ask.up_to.min(self.limits.max_batch);
        others.into_iter().take(up_to).filter_map(|row| self.grant(row, ask)).collect()
    }

    fn holds(&self, instance: &InstanceName, fits: impl Fn(&Task) -> bool) -> bool {
        let now = self.now;
        self.held.iter().filter_map(|row| self.live.get(row)).any(|task| {
            let live = task.holder.as_ref().is_some_and(|(holder, until)| holder == instance && *until > now);
            live && fits(task)
        })
    }

    /// One lease. `None` when the task's deadline has passed: it is dead now.
    fn grant(&mut self, row: u64, ask: &LeaseAsk) -> Option<LeasedTask> {
        let task = self.live.get(&row)?.clone();
        if task.deadline.is_some_and(|deadline| deadline <= self.now) {
            let next = transition(view(&task), LifecycleEvent::Expired).ok()?;
            self.place(task, next);
            return None;
        }
        let next = transition(view(&task), LifecycleEvent::Leased).ok()?;
        let mut task = self.remove(row)?;
        task.state = next.state;
        task.attempt = next.attempt;
        task.epoch = Epoch(task.epoch.0 + 1);
        task.holder = Some((ask.instance.clone(), after(self.now, ask.lease_for)));
        self.add(task.clone());
        Some(LeasedTask { lease: Lease { task: task.id, epoch: task.epoch }, task: Box::new(task) })
    }

    pub(super) fn extend(&mut self, leases: Vec<Lease>, lease_for: Duration) -> Vec<Lease> {
        let until = after(self.now, lease_for);
        let mut lost = Vec::new();
        for lease in leases {
            match self.leased(lease).and_then(|task| task.holder.as_mut()) {
                Some((_, valid_until)) => *valid_until = until,
                None => lost.push(lease),
            }
        }
        lost
    }

    // ---- outcomes

    pub(super) fn settle(&mut self, settlement: &Settlement) -> Settled {
        let Some(task) = self.leased(settlement.lease).cloned() else { return Settled::Stale };
        let Ok(next) = transition(view(&task), LifecycleEvent::Ended(&settlement.outcome)) else {
            return Settled::Stale;
        };
        if let Some(error) = content::too_large(&settlement.outcome, &self.limits) {
            return Settled::Undone { error };
        }
        let follow_ups = match (&settlement.outcome, &settlement.with) {
            (Outcome::Done { .. }, Some(with)) => match self.write_with(task.id, with) {
                Ok(follow_ups) => follow_ups,
                Err(error) => return Settled::Undone { error },
            },
            _ => Vec::new(),
        };
        let state = self.end(task, next, settlement);
        Settled::Applied { state, follow_ups }
    }

    fn end(&mut self, mut task: Task, next: Transition, settlement: &Settlement) -> TaskState {
        if let Some((instance, _)) = &task.holder
            && content::is_kept(&settlement.outcome)
        {
            let record = AttemptRecord {
                attempt: task.attempt,
                epoch: task.epoch,
                instance: instance.clone(),
                started_at: settlement.started_at,
                took: settlement.took,
                outcome: settlement.outcome.name().to_owned(),
                error: next.error.clone(),
                trace: settlement.trace.clone(),
            };
            self.ended.entry(task.id.row()).or_default().push(record);
        }
        if let Outcome::Done { output } = &settlement.outcome {
            task.output = Some(output.clone());
        }
        self.place(task, next)
    }

    fn write_with(&mut self, id: TaskId, with: &SettleWith) -> Result<Vec<TaskId>, TaskError> {
        if !with.app_writes.is_empty() {
            return Err(EnqueueError::CapabilityMissing(Capability::AppWrites).into());
        }
        let follow_ups = self.take_in_whole(with.follow_ups.clone(), false)?;
        for event in &with.events {
            self.last_position += 1;
            let (position, at) = (self.last_position, self.now);
            self.outbox.push(StoredEvent { position, task: id, at, event: event.clone() });
        }
        Ok(follow_ups.iter().map(Enqueued::id).collect())
    }

    /// The instance that held this task died, or let its lease run out.
    pub(super) fn lose_lease(&mut self, task: Task) {
        let Ok(next) = transition(view(&task), LifecycleEvent::LeaseLost) else { return };
        if let Some((instance, _)) = &task.holder {
            let record = AttemptRecord {
                attempt: task.attempt,
                epoch: task.epoch,
                instance: instance.clone(),
                started_at: self.now,
                took: Duration::ZERO,
                outcome: ErrorCode::LeaseLost.name().to_owned(),
                error: next.error.clone(),
                trace: None,
            };
            self.ended.entry(task.id.row()).or_default().push(record);
        }
        self.place(task, next);
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

fn is_ready_suspect(task: &Task) -> bool {
    task.state == TaskState::Ready && runs_alone(task.crash_count)
}

fn after(now: Timestamp, wait: Duration) -> Timestamp {
    let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(now.as_millisecond().saturating_add(wait)).unwrap_or(Timestamp::MAX)
}

/// Rounded up: nothing is due before its time.
fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(content::millis_up(at)).unwrap_or(at)
}
