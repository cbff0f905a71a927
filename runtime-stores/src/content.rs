//! What is the same in every back end: what is checked before it is taken, how a task is recognised, what a command means, which
//! attempts are worth keeping.
//!
//! Idempotency keys are kept per queue: the same key in two queues belongs to two tasks.

use std::time::Duration;

use jiff::Timestamp;
use runtime_core::error::{ErrorCode, TaskError};
use runtime_core::flow;
use runtime_core::lifecycle::LifecycleEvent;
use runtime_core::limits::StoreLimits;
use runtime_core::name::{IdempotencyKey, QueueName};
use runtime_core::outcome::Outcome;
use runtime_core::store::{EnqueueError, SteerError, TaskCommand};
use runtime_core::task::{NewTask, Priority, Task};

/// 128 bits of BLAKE3.
pub(crate) type Hash = [u8; 16];

/// Refuses what no queue takes.
pub(crate) fn check(task: &NewTask, limits: &StoreLimits) -> Result<(), EnqueueError> {
    let (bytes, limit) = (task.payload.len(), limits.max_payload_bytes);
    if bytes > limit {
        return Err(EnqueueError::PayloadTooLarge { bytes, limit });
    }
    Ok(())
}

/// Refuses a command that nobody could carry out on any task.
pub(crate) fn check_command(command: &TaskCommand, limits: &StoreLimits) -> Result<(), SteerError> {
    let limit = limits.max_payload_bytes;
    match command {
        TaskCommand::Replay { payload: Some(payload), .. } if payload.len() > limit => {
            Err(SteerError::PayloadTooLarge { bytes: payload.len(), limit })
        }
        _ => Ok(()),
    }
}

/// When a replayed task is due.
pub(crate) fn replay_at(command: &TaskCommand, now: Timestamp) -> Timestamp {
    match command {
        TaskCommand::Replay { at: Some(at), .. } => whole_millis(*at).max(now),
        _ => now,
    }
}

/// Refuses an output that nobody could keep.
pub(crate) fn too_large(outcome: &Outcome, limits: &StoreLimits) -> Option<TaskError> {
    let limit = limits.max_payload_bytes;
    match outcome {
        Outcome::Done { output } if output.len() > limit => {
            let text = format!("an output of {} bytes, at most {limit} are allowed", output.len());
            Some(TaskError::new(ErrorCode::TooLarge, text))
        }
        _ => None,
    }
}

/// Whether history keeps an attempt that ended so. Waiting and giving back are no attempts that anybody would look for, and a task that
/// polls by snoozing would fill the store with them.
pub(crate) fn is_kept(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Snooze { .. } | Outcome::Released { .. } => false,
        Outcome::Done { .. }
        | Outcome::Retry { .. }
        | Outcome::Reject { .. }
        | Outcome::Park { .. }
        | Outcome::Cancel { .. } => true,
    }
}

/// What an operator's command means for a task's life.
pub(crate) fn event_of(command: &TaskCommand, unknown_effect: bool, now: Timestamp) -> LifecycleEvent<'_> {
    match command {
        TaskCommand::Replay { at, .. } => {
            LifecycleEvent::ReplayAsked { due: at.is_none_or(|at| whole_millis(at) <= now) }
        }
        TaskCommand::Discard { reason } => LifecycleEvent::DiscardAsked { reason },
        TaskCommand::Retry => LifecycleEvent::RetryAsked,
        TaskCommand::Reschedule { at } => {
            let wait = whole_millis(*at).duration_since(now);
            LifecycleEvent::RescheduleAsked { wait: Duration::try_from(wait).unwrap_or_default() }
        }
        TaskCommand::Delete { .. } => LifecycleEvent::DeleteAsked,
        TaskCommand::Approve => LifecycleEvent::Resolved,
        // "It did not happen" lets the task go on; "no" to a question ends it.
        TaskCommand::Reject if unknown_effect => LifecycleEvent::Resolved,
        TaskCommand::Reject | TaskCommand::Cancel => LifecycleEvent::CancelAsked,
    }
}

/// Whole milliseconds, rounded up: nothing is due before its time.
pub(crate) fn millis_up(at: Timestamp) -> i64 {
    let millis = at.as_millisecond();
    if at > Timestamp::from_millisecond(millis).unwrap_or(at) { millis + 1 } else { millis }
}

/// A moment as stores keep it, rounded up.
pub(crate) fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(millis_up(at)).unwrap_or(at)
}

/// When a task wants to be due, at the latest at `latest`. `None`: at once.
pub(crate) fn due(task: &NewTask, latest: Option<Timestamp>) -> Option<Timestamp> {
    let asked = whole_millis(task.run_at?);
    let latest = latest.and_then(|latest| Timestamp::from_millisecond(latest.as_millisecond()).ok());
    Some(latest.map_or(asked, |latest| latest.min(asked)))
}

/// Whether a task may take another one's place: only what it shall do, and when, may differ.
pub(crate) fn is_same_work(new: &NewTask, known: &Task) -> bool {
    new.route == known.route
        && new.tenant == known.tenant
        && new.scope == known.scope
        && new.ordering_key == known.ordering_key
}

/// Where a task that is due then stands among the ready ones: [`runtime_core::flow::rank`], in milliseconds.
pub(crate) fn rank(due: i64, priority: Priority, step: i64) -> i64 {
    let due = Timestamp::from_millisecond(due).unwrap_or(Timestamp::MAX);
    flow::rank(due, priority, Duration::from_millis(step.unsigned_abs())).div_euclid(1_000)
}

/// The step of a degree of priority in whole milliseconds, short enough for every rank to be exact.
pub(crate) fn whole_step(step: Duration) -> i64 {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    i64::try_from(step.min(YEAR).as_millis()).unwrap_or(i64::MAX)
}

/// Where a key is looked up.
pub(crate) fn key_hash(queue: &QueueName, key: &IdempotencyKey) -> Hash {
    let mut hasher = Hasher::default();
    hasher.part(queue.as_str().as_bytes());
    hasher.part(key.as_str().as_bytes());
    hasher.finish()
}

/// What a task asks for: everything that makes it other work, nothing that says when or how often.
pub(crate) fn hash(task: &NewTask) -> Hash {
    let mut hasher = Hasher::default();
    hasher.part(task.route.app.as_str().as_bytes());
    hasher.part(task.route.queue.as_str().as_bytes());
    hasher.part(task.route.handler.as_str().as_bytes());
    hasher.part(&task.payload);
    hasher.part(&task.schema_version.to_be_bytes());
    hasher.optional(task.tenant.as_ref().map(|name| name.as_str()));
    hasher.optional(task.scope.as_ref().map(|name| name.as_str()));
    hasher.optional(task.ordering_key.as_ref().map(|name| name.as_str()));
    hasher.finish()
}

/// Every part goes in with its length, so that no two lists of parts read the same.
#[derive(Default)]
struct Hasher(blake3::Hasher);

impl Hasher {
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&bytes.len().to_be_bytes());
        self.0.update(bytes);
    }

    fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.part(text.as_bytes()),
            None => drop(self.0.update(&usize::MAX.to_be_bytes())),
        }
    }

    fn finish(&self) -> Hash {
        let mut hash = Hash::default();
        hash.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        hash
    }
}
