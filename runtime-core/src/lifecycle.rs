//! The one function that moves a task's state.
//!
//! ```text
//! scheduled ─▶ ready ─▶ leased ─▶ done
//!               ▲  ▲       ├────▶ scheduled   (retry with back-off · snooze)
//!               │  │       ├────▶ parked      ─▶ ready
//!               │  └───────┤      released, or the lease was lost
//!               │          ├────▶ dead        (attempts used up · permanent error · poison)
//!    replay ────┘          └────▶ cancelled
//! ```
//!
//! It reads no clock: times come with the event. Stores apply its answer inside their own transaction.

use std::time::Duration;

use crate::error::{ErrorCode, TaskError};
use crate::outcome::Outcome;
use crate::task::TaskState;

/// Deaths of an instance after which a task runs alone.
pub const CRASHES_BEFORE_ALONE: u32 = 2;

/// What a task's next state depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifecycleView {
    /// Where it stands.
    pub state: TaskState,
    /// Attempts that counted; while leased, the running one included.
    pub attempt: u32,
    /// Attempts in all.
    pub max_attempts: u32,
    /// Deaths of an instance that held it, since an attempt last ended.
    pub crash_count: u32,
}

/// What happened to a task.
#[derive(Debug, Clone, Copy)]
pub enum LifecycleEvent<'a> {
    /// Its time has come.
    Due,
    /// An instance takes it.
    Leased,
    /// An attempt ended.
    Ended(&'a Outcome),
    /// The instance that held it died, or let the lease run out.
    LeaseLost,
    /// Its deadline passed before an attempt was under way.
    Expired,
    /// A task under the same key gave it another due time before it was ever leased.
    Replaced {
        /// Whether it is due at once.
        due: bool,
    },
    /// An operator wants it to run again, or to run now.
    RetryAsked,
    /// An operator wants a dead or cancelled task to run again.
    ReplayAsked {
        /// Whether at once.
        due: bool,
    },
    /// An operator wants a dead task never to run again.
    DiscardAsked {
        /// Why.
        reason: &'a str,
    },
    /// An operator wants a task that waits to be due so long from now.
    RescheduleAsked {
        /// How long; zero is at once.
        wait: Duration,
    },
    /// An operator wants it forgotten.
    DeleteAsked,
    /// An operator, or an outside completion, lets a parked task go on.
    Resolved,
    /// An operator wants it not to run.
    CancelAsked,
}

/// What follows from an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    /// The new state.
    pub state: TaskState,
    /// The new number of attempts that counted.
    pub attempt: u32,
    /// The new number of deaths.
    pub crash_count: u32,
    /// How long until it is due; for `Scheduled` only.
    pub wait: Option<Duration>,
    /// The error to show from now on; `None` leaves the one before.
    pub error: Option<TaskError>,
}

/// The event does not fit the state. Nothing changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {state} task cannot {verb}")]
pub struct NotAllowed {
    /// Where the task stands.
    pub state: TaskState,
    /// What was asked.
    pub verb: &'static str,
}

/// Moves a task. Total: every pair of state and event has an answer.
///
/// # Errors
/// [`NotAllowed`] when the event does not fit the state; a late outcome of a lost lease is such a case.
pub fn transition(view: LifecycleView, event: LifecycleEvent<'_>) -> Result<Transition, NotAllowed> {
    use TaskState::{Cancelled, Dead, Done, Leased, Parked, Ready, Scheduled};

    let to = |state| Transition {
        state,
        attempt: view.attempt,
        crash_count: view.crash_count,
        wait: None,
        error: None,
    };
    let refuse = |verb| Err(NotAllowed { state: view.state, verb });

    match (view.state, event) {
        (Scheduled, LifecycleEvent::Due) => Ok(to(Ready)),
        (_, LifecycleEvent::Due) => refuse("become due"),

        (Ready, LifecycleEvent::Leased) => {
            Ok(Transition { attempt: view.attempt.saturating_add(1), ..to(Leased) })
        }
        (_, LifecycleEvent::Leased) => refuse("be leased"),

        (Leased, LifecycleEvent::Ended(outcome)) => Ok(ended(view, outcome)),
        (_, LifecycleEvent::Ended(_)) => refuse("be settled"),

        (Leased, LifecycleEvent::LeaseLost) => Ok(lease_lost(view)),
        (_, LifecycleEvent::LeaseLost) => refuse("lose a lease"),

        (Scheduled | Ready, LifecycleEvent::Expired) => Ok(Transition {
            error: Some(TaskError::new(
                ErrorCode::DeadlineExceeded,
                "the deadline passed before the task was done",
            )),
            ..to(Dead)
        }),
        (_, LifecycleEvent::Expired) => refuse("expire"),

        (Scheduled | Ready, LifecycleEvent::Replaced { due }) => Ok(to(if due { Ready } else { Scheduled })),
        (_, LifecycleEvent::Replaced { .. }) => refuse("be replaced"),

        // A replay of a finished task starts its attempts anew; a task that merely waits keeps them.
        (Dead | Cancelled, LifecycleEvent::RetryAsked) => {
            Ok(Transition { attempt: 0, crash_count: 0, ..to(Ready) })
        }
        (Scheduled, LifecycleEvent::RetryAsked) => Ok(to(Ready)),
        (Ready | Leased | Parked | Done, LifecycleEvent::RetryAsked) => refuse("be retried"),

        (Dead | Cancelled, LifecycleEvent::ReplayAsked { due }) => {
            let state = if due { Ready } else { Scheduled };
            Ok(Transition { attempt: 0, crash_count: 0, ..to(state) })
        }
        (_, LifecycleEvent::ReplayAsked { .. }) => refuse("be replayed"),

        (Dead, LifecycleEvent::DiscardAsked { reason }) => Ok(Transition {
            error: Some(TaskError::new(ErrorCode::Cancelled, format!("discarded by an operator: {reason}"))),
            ..to(Cancelled)
        }),
        (_, LifecycleEvent::DiscardAsked { .. }) => refuse("be discarded"),

        (Scheduled | Ready, LifecycleEvent::RescheduleAsked { wait }) => {
            Ok(Transition { wait: Some(wait), ..to(Scheduled) })
        }
        (_, LifecycleEvent::RescheduleAsked { .. }) => refuse("be rescheduled"),

        // What waits ends before it is forgotten, so that whoever stands behind it goes on.
        (Scheduled | Ready | Parked, LifecycleEvent::DeleteAsked) => Ok(to(Cancelled)),
        (Done | Dead | Cancelled, LifecycleEvent::DeleteAsked) => Ok(to(view.state)),
        (Leased, LifecycleEvent::DeleteAsked) => refuse("be deleted"),

        (Parked, LifecycleEvent::Resolved) => {
            Ok(Transition { attempt: view.attempt.saturating_sub(1), ..to(Ready) })
        }
        (_, LifecycleEvent::Resolved) => refuse("be resolved"),

        (Scheduled | Ready | Parked, LifecycleEvent::CancelAsked) => Ok(Transition {
            error: Some(TaskError::new(ErrorCode::Cancelled, "cancelled by an operator")),
            ..to(Cancelled)
        }),
        (_, LifecycleEvent::CancelAsked) => refuse("be cancelled"),
    }
}

/// The end of an attempt: whoever ended an attempt survived it, so the suspicion of killing its process is gone.
fn ended(view: LifecycleView, outcome: &Outcome) -> Transition {
    let not_counted = view.attempt.saturating_sub(1);
    let to =
        |state, attempt| Transition { state, attempt, crash_count: 0, wait: None, error: outcome.error() };
    match outcome {
        Outcome::Done { .. } => to(TaskState::Done, view.attempt),
        Outcome::Retry { after, .. } if view.attempt < view.max_attempts => {
            Transition { wait: Some(*after), ..to(TaskState::Scheduled, view.attempt) }
        }
        Outcome::Retry { .. } | Outcome::Reject { .. } => to(TaskState::Dead, view.attempt),
        Outcome::Snooze { wait } => Transition { wait: Some(*wait), ..to(TaskState::Scheduled, not_counted) },
        Outcome::Park { .. } => to(TaskState::Parked, view.attempt),
        Outcome::Cancel { .. } => to(TaskState::Cancelled, view.attempt),
        // A task released unfinished has proved nothing: it stays as suspect as it was.
        Outcome::Released { .. } => {
            Transition { crash_count: view.crash_count, ..to(TaskState::Ready, not_counted) }
        }
    }
}

/// Poison by suspicion: every death makes the tasks it held suspect; a suspect of two deaths runs alone (see
/// [`runs_alone`]); one that dies alone again is poison. The attempt that was cut off does not count.
fn lease_lost(view: LifecycleView) -> Transition {
    let not_counted = view.attempt.saturating_sub(1);
    let crash_count = view.crash_count.saturating_add(1);
    let (state, error) = if runs_alone(view.crash_count) {
        let text = format!(
            "its process died {crash_count} times while it ran, the last time with nothing beside it"
        );
        (TaskState::Dead, TaskError::new(ErrorCode::Poison, text))
    } else {
        (
            TaskState::Ready,
            TaskError::new(ErrorCode::LeaseLost, "the lease ended before an outcome was settled"),
        )
    };
    Transition { state, attempt: not_counted, crash_count, wait: None, error: Some(error) }
}

/// Whether a task with this many deaths may only run with nothing beside it.
pub fn runs_alone(crash_count: u32) -> bool {
    crash_count >= CRASHES_BEFORE_ALONE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{ParkReason, ReleaseReason};

    fn view(state: TaskState) -> LifecycleView {
        LifecycleView { state, attempt: 1, max_attempts: 3, crash_count: 0 }
    }

    fn leased(attempt: u32, crash_count: u32) -> LifecycleView {
        LifecycleView { attempt, crash_count, ..view(TaskState::Leased) }
    }

    fn outcomes() -> Vec<(Outcome, TaskState, u32)> {
        let error = TaskError::retryable("no");
        vec![
            (Outcome::Done { output: vec![] }, TaskState::Done, 1),
            (Outcome::Retry { error: error.clone(), after: Duration::from_secs(5) }, TaskState::Scheduled, 1),
            (Outcome::Reject { error }, TaskState::Dead, 1),
            (Outcome::Snooze { wait: Duration::from_secs(9) }, TaskState::Scheduled, 0),
            (
                Outcome::Park { reason: ParkReason::NeedsDecision { question: "which?".into() } },
                TaskState::Parked,
                1,
            ),
            (Outcome::Cancel { reason: "no longer wanted".into() }, TaskState::Cancelled, 1),
            (Outcome::Released { reason: ReleaseReason::Shutdown }, TaskState::Ready, 0),
        ]
    }

    #[test]
    fn each_outcome_of_a_leased_task_leads_where_the_picture_says() {
        for (outcome, state, attempt) in outcomes() {
            let next = transition(leased(1, 0), LifecycleEvent::Ended(&outcome)).unwrap();
            assert_eq!((next.state, next.attempt), (state, attempt), "{outcome:?}");
        }
    }

    #[test]
    fn an_outcome_is_refused_in_every_other_state() {
        for state in TaskState::ALL.into_iter().filter(|state| *state != TaskState::Leased) {
            for (outcome, ..) in outcomes() {
                assert!(
                    transition(view(state), LifecycleEvent::Ended(&outcome)).is_err(),
                    "{state} {outcome:?}"
                );
            }
        }
    }

    #[test]
    fn the_last_attempt_that_fails_is_dead() {
        let outcome = Outcome::Retry { error: TaskError::retryable("no"), after: Duration::ZERO };
        let states: Vec<_> = (1..=3)
            .map(|attempt| transition(leased(attempt, 0), LifecycleEvent::Ended(&outcome)).unwrap().state)
            .collect();
        assert_eq!(states, [TaskState::Scheduled, TaskState::Scheduled, TaskState::Dead]);
    }

    #[test]
    fn a_lost_lease_is_not_counted_and_the_third_death_is_poison() {
        let first = transition(leased(1, 0), LifecycleEvent::LeaseLost).unwrap();
        assert_eq!((first.state, first.attempt, first.crash_count), (TaskState::Ready, 0, 1));
        assert!(!runs_alone(first.crash_count));
        let second = transition(leased(1, 1), LifecycleEvent::LeaseLost).unwrap();
        assert_eq!((second.state, second.crash_count), (TaskState::Ready, 2));
        assert!(runs_alone(second.crash_count));
        let third = transition(leased(1, 2), LifecycleEvent::LeaseLost).unwrap();
        assert_eq!(third.state, TaskState::Dead);
        assert_eq!(third.error.unwrap().code, ErrorCode::Poison);
    }

    #[test]
    fn whoever_ends_an_attempt_is_no_longer_suspect_but_a_release_proves_nothing() {
        let done = Outcome::Snooze { wait: Duration::ZERO };
        assert_eq!(transition(leased(1, 2), LifecycleEvent::Ended(&done)).unwrap().crash_count, 0);
        let released = Outcome::Released { reason: ReleaseReason::Shutdown };
        assert_eq!(transition(leased(1, 2), LifecycleEvent::Ended(&released)).unwrap().crash_count, 2);
    }

    #[test]
    fn operators_move_tasks_only_where_it_makes_sense() {
        use TaskState::*;
        let allowed = |event| {
            TaskState::ALL.into_iter().filter(|s| transition(view(*s), event).is_ok()).collect::<Vec<_>>()
        };
        assert_eq!(allowed(LifecycleEvent::RetryAsked), [Scheduled, Dead, Cancelled]);
        assert_eq!(allowed(LifecycleEvent::Resolved), [Parked]);
        assert_eq!(allowed(LifecycleEvent::CancelAsked), [Scheduled, Ready, Parked]);
        assert_eq!(allowed(LifecycleEvent::Expired), [Scheduled, Ready]);
        assert_eq!(allowed(LifecycleEvent::Due), [Scheduled]);
        assert_eq!(allowed(LifecycleEvent::Leased), [Ready]);
        assert_eq!(allowed(LifecycleEvent::LeaseLost), [Leased]);
        assert_eq!(allowed(LifecycleEvent::Replaced { due: true }), [Scheduled, Ready]);
        assert_eq!(allowed(LifecycleEvent::ReplayAsked { due: true }), [Dead, Cancelled]);
        assert_eq!(allowed(LifecycleEvent::DiscardAsked { reason: "" }), [Dead]);
        assert_eq!(allowed(LifecycleEvent::RescheduleAsked { wait: Duration::ZERO }), [Scheduled, Ready]);
        assert_eq!(allowed(LifecycleEvent::DeleteAsked), [Scheduled, Ready, Parked, Done, Dead, Cancelled]);
    }

    #[test]
    fn a_replayed_task_has_all_its_attempts_again() {
        let dead = LifecycleView { attempt: 3, ..view(TaskState::Dead) };
        let next = transition(dead, LifecycleEvent::RetryAsked).unwrap();
        assert_eq!((next.state, next.attempt, next.crash_count), (TaskState::Ready, 0, 0));
        let next = transition(dead, LifecycleEvent::ReplayAsked { due: false }).unwrap();
        assert_eq!((next.state, next.attempt, next.crash_count), (TaskState::Scheduled, 0, 0));
    }

    #[test]
    fn a_discarded_task_says_why() {
        let event = LifecycleEvent::DiscardAsked { reason: "the shop closed" };
        let next = transition(view(TaskState::Dead), event).unwrap();
        assert_eq!(next.state, TaskState::Cancelled);
        assert!(next.error.unwrap().message.contains("the shop closed"));
    }
}
