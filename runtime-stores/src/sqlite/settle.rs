//! Outcomes are written: new state, history, follow-up tasks, events and the app's rows of one attempt together.

use runtime_core::error::TaskError;
use runtime_core::lifecycle::{LifecycleEvent, NotAllowed, Transition, runs_alone, transition};
use runtime_core::outcome::{Outcome, SettleWith, Settled, Settlement};
use runtime_core::task::{TaskId, TaskState};

use super::columns::{json, trace_to_text};
use super::enqueue::Origin;
use super::fault::Fault;
use super::writer::{Standing, Writer, row_of};
use crate::content;

/// What history keeps of the end beside the state.
#[derive(Debug, Default)]
pub(super) struct Finish<'a> {
    pub(super) output: Option<&'a [u8]>,
    pub(super) started_at: Option<i64>,
    pub(super) took_us: Option<i64>,
    pub(super) trace: Option<String>,
    pub(super) node: Option<i64>,
}

/// A live task on its way to history.
pub(super) struct End<'a> {
    pub(super) row: i64,
    pub(super) state: TaskState,
    pub(super) attempt: u32,
    pub(super) crash_count: u32,
    /// As JSON. `None` leaves the one before.
    pub(super) error: Option<String>,
    pub(super) finish: Finish<'a>,
}

impl<'a> End<'a> {
    fn new(row: i64, next: &Transition, finish: Finish<'a>) -> Result<Self, Fault> {
        let error = next.error.as_ref().map(json).transpose()?;
        Ok(Self {
            row,
            state: next.state,
            attempt: next.attempt,
            crash_count: next.crash_count,
            error,
            finish,
        })
    }
}

impl Writer<'_> {
    pub(super) fn settle(&mut self, settlements: &[Settlement]) -> Result<Vec<Settled>, Fault> {
        let mut settled = Vec::with_capacity(settlements.len());
        let mut ends = Vec::new();
        for settlement in settlements {
            match self.simply_done(settlement)? {
                Some(end) => {
                    settled.push(Settled::Applied { state: end.state, follow_ups: Vec::new() });
                    ends.push(end);
                }
                None => {
                    self.write_ends(&ends)?;
                    ends.clear();
                    settled.push(self.settle_one(settlement)?);
                }
            }
        }
        self.write_ends(&ends)?;
        runtime_core::failpoint!("settle_uncommitted");
        Ok(settled)
    }

    /// The end of an attempt that is done and has nothing to do with any other task or row: it is written together with others like it.
    /// `None`: it takes the long way.
    fn simply_done<'s>(&mut self, settlement: &'s Settlement) -> Result<Option<End<'s>>, Fault> {
        let Outcome::Done { output } = &settlement.outcome else { return Ok(None) };
        let rides_along = settlement.with.as_ref().is_some_and(|with| !with.is_empty());
        if rides_along || content::too_large(&settlement.outcome, &self.limits).is_some() {
            return Ok(None);
        }
        let held =
            self.booked(settlement.lease.task).filter(|held| held.is_for(settlement.lease) && !held.ordered);
        let Some(standing) = held.map(Standing::of) else { return Ok(None) };
        let next =
            transition(standing.view, LifecycleEvent::Ended(&settlement.outcome)).map_err(impossible)?;
        let row = row_of(settlement.lease.task);
        let finish = self.finish_of(settlement, output)?;
        self.let_go(row, &standing);
        self.note_finished(row, standing.queue, standing.view.state, next.state);
        End::new(row, &next, finish).map(Some)
    }

    fn settle_one(&mut self, settlement: &Settlement) -> Result<Settled, Fault> {
        let row = row_of(settlement.lease.task);
        let Some(standing) = self.leased(settlement.lease)? else {
            return Ok(Settled::Stale);
        };
        let next = match transition(standing.view, LifecycleEvent::Ended(&settlement.outcome)) {
            Ok(next) => next,
            Err(_) => return Ok(Settled::Stale),
        };
        if let Some(error) = content::too_large(&settlement.outcome, &self.limits) {
            return Ok(Settled::Undone { error });
        }
        let with = match (&settlement.outcome, &settlement.with) {
            (Outcome::Done { .. }, Some(with)) if !with.is_empty() => Some(with),
            _ => None,
        };
        let settled = match with {
            None => {
                let state = self.end(row, &standing, next, settlement)?;
                Ok((state, Vec::new()))
            }
            Some(with) => self.all_or_nothing(|writer| {
                let state = writer.end(row, &standing, next, settlement)?;
                Ok(writer.write_with(row, settlement.lease.task, with)?.map(|follow_ups| (state, follow_ups)))
            })?,
        };
        Ok(match settled {
            Ok((state, follow_ups)) => Settled::Applied { state, follow_ups },
            Err(error) => Settled::Undone { error },
        })
    }

    /// Moves the task where its attempt's outcome leads.
    fn end(
        &mut self,
        row: i64,
        standing: &Standing,
        next: Transition,
        settlement: &Settlement,
    ) -> Result<TaskState, Fault> {
        self.let_go(row, standing);
        if let Outcome::Done { output } = &settlement.outcome {
            let finish = self.finish_of(settlement, output)?;
            self.finish(row, standing.queue, standing.view.state, standing.ordered, &next, finish)?;
            return Ok(next.state);
        }
        if content::is_kept(&settlement.outcome) {
            let Finish { started_at, took_us, trace, node, .. } = self.finish_of(settlement, &[])?;
            let error = next.error.as_ref().map(json).transpose()?;
            self.sql.insert_attempt.execute((
                row,
                standing.epoch,
                standing.view.attempt,
                standing.holder,
                started_at,
                took_us,
                settlement.outcome.name(),
                error,
                trace,
                node,
            ))?;
        }
        self.place(row, standing, next)
    }

    fn finish_of<'s>(&mut self, settlement: &Settlement, output: &'s [u8]) -> Result<Finish<'s>, Fault> {
        Ok(Finish {
            output: Some(output),
            started_at: Some(settlement.started_at.as_millisecond()),
            took_us: Some(i64::try_from(settlement.took.as_micros()).unwrap_or(i64::MAX)),
            trace: settlement.trace.as_ref().map(trace_to_text),
            node: settlement.node.as_ref().map(|node| self.node(node)).transpose()?,
        })
    }

    /// A lease ended.
    fn let_go(&mut self, row: i64, standing: &Standing) {
        self.books.let_go(row);
        self.wake_after_alone(standing);
    }

    /// Moves a task to where a transition leads, live or finished. A wait of zero is over at once.
    pub(super) fn place(
        &mut self,
        row: i64,
        standing: &Standing,
        next: Transition,
    ) -> Result<TaskState, Fault> {
        if next.state.is_finished() {
            self.finish(
                row,
                standing.queue,
                standing.view.state,
                standing.ordered,
                &next,
                Finish::default(),
            )?;
            return Ok(next.state);
        }
        let wait = next.wait.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        // Whoever asked a waiting task to go on made it due.
        let asked = standing.view.state == TaskState::Scheduled && next.state == TaskState::Ready;
        let due = wait.map(|wait| self.now.saturating_add(wait)).or(asked.then_some(self.now));
        let next = match wait {
            Some(0) => {
                let waiting = runtime_core::lifecycle::LifecycleView { state: next.state, ..standing.view };
                let ready = transition(waiting, LifecycleEvent::Due).map_err(impossible)?;
                Transition { state: ready.state, ..next }
            }
            _ => next,
        };
        // Parked anew means asked anew.
        let approved = (next.state == TaskState::Parked).then_some(false);
        let error = next.error.as_ref().map(json).transpose()?;
        let at = due.unwrap_or(self.now);
        self.sql.r#move.execute((
            row,
            next.state.number(),
            next.attempt,
            next.crash_count,
            due,
            at,
            error,
            approved,
            self.priority_step,
        ))?;
        self.books.leave(standing.queue, standing.view.state);
        self.books.enter(standing.queue, next.state);
        self.books.due_changed |= next.state == TaskState::Scheduled;
        if next.state == TaskState::Ready && runs_alone(next.crash_count) && !self.is_held(row)? {
            self.books.add_suspect(standing.queue, row);
        } else {
            self.books.drop_suspect(standing.queue, row);
        }
        Ok(next.state)
    }

    /// Moves a task to history. The head of an ordering key lets the next go on.
    pub(super) fn finish(
        &mut self,
        row: i64,
        queue: i64,
        from: TaskState,
        ordered: bool,
        next: &Transition,
        finish: Finish<'_>,
    ) -> Result<(), Fault> {
        let headed_key = if ordered { self.headed_key(row)? } else { None };
        self.write_ends(&[End::new(row, next, finish)?])?;
        self.note_finished(row, queue, from, next.state);
        match headed_key {
            Some(key) => self.head_finished(row, queue, &key, next.state),
            None => Ok(()),
        }
    }

    fn note_finished(&mut self, row: i64, queue: i64, from: TaskState, to: TaskState) {
        self.trim_floor = self.trim_floor.min(row - 1);
        self.books.leave(queue, from);
        self.books.enter(queue, to);
        self.books.drop_suspect(queue, row);
    }

    /// What rides along with a done attempt.
    fn write_with(
        &mut self,
        row: i64,
        task: TaskId,
        with: &SettleWith,
    ) -> Result<Result<Vec<TaskId>, TaskError>, Fault> {
        let mut follow_ups = Vec::with_capacity(with.follow_ups.len());
        let mut plain = Vec::new();
        for follow_up in &with.follow_ups {
            match self.take_in(follow_up, Origin::FollowUp, &mut plain)? {
                Ok(taken) => follow_ups.push(taken.id()),
                Err(refused) => return Ok(Err(refused.into())),
            }
        }
        self.write_plain(&plain)?;
        let created_at = i64::try_from(task.created_ms()).unwrap_or(i64::MAX);
        for event in &with.events {
            self.sql.insert_event.execute((row, created_at, self.now, &event.kind, &event.body))?;
        }
        Ok(self.write_app_rows(&with.app_writes)?.map(|()| follow_ups))
    }

    /// Whoever waited for a lone suspect to end, or for room to run one, looks again.
    pub(super) fn wake_after_alone(&mut self, standing: &Standing) {
        if runs_alone(standing.view.crash_count) {
            self.wake_everybody();
        } else if !self.books.holds_any() {
            self.books.queues_with_suspects().into_iter().for_each(|queue| self.books.wake(queue));
        }
    }

    pub(super) fn wake_everybody(&mut self) {
        let names = self.shared.names();
        names.queues().for_each(|(queue, _)| self.books.wake(queue));
    }
}

fn impossible(not_allowed: NotAllowed) -> Fault {
    Fault::corrupt(not_allowed.to_string())
}
