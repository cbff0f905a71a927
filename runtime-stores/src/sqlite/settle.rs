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

impl Writer<'_> {
    pub(super) fn settle(&mut self, settlements: &[Settlement]) -> Result<Vec<Settled>, Fault> {
        let settled = settlements.iter().map(|settlement| self.settle_one(settlement)).collect();
        runtime_core::failpoint!("settle_uncommitted");
        settled
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
        let started_at = settlement.started_at.as_millisecond();
        let took_us = i64::try_from(settlement.took.as_micros()).unwrap_or(i64::MAX);
        let trace = settlement.trace.as_ref().map(trace_to_text);
        let node = settlement.node.as_ref().map(|node| self.node(node)).transpose()?;
        self.books.let_go(row);
        self.wake_after_alone(standing);
        if let Outcome::Done { output } = &settlement.outcome {
            let finish = Finish {
                output: Some(output),
                started_at: Some(started_at),
                took_us: Some(took_us),
                trace,
                node,
            };
            self.finish(row, standing.queue, standing.view.state, standing.ordered, &next, finish)?;
            return Ok(next.state);
        }
        if content::is_kept(&settlement.outcome) {
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
        let error = next.error.as_ref().map(json).transpose()?;
        let moved = self.sql.finish.execute((
            row,
            next.state.number(),
            self.now,
            next.attempt,
            next.crash_count,
            error,
            finish.output,
            finish.started_at,
            finish.took_us,
            finish.trace,
            finish.node,
        ))?;
        self.trim_floor = self.trim_floor.min(row - 1);
        if moved != 1 || self.sql.delete_task.execute([row])? != 1 {
            return Err(Fault::corrupt(format!("row {row} could not be moved to history")));
        }
        self.books.leave(queue, from);
        self.books.enter(queue, next.state);
        self.books.drop_suspect(queue, row);
        match headed_key {
            Some(key) => self.head_finished(row, queue, &key, next.state),
            None => Ok(()),
        }
    }

    /// What rides along with a done attempt.
    fn write_with(
        &mut self,
        row: i64,
        task: TaskId,
        with: &SettleWith,
    ) -> Result<Result<Vec<TaskId>, TaskError>, Fault> {
        let mut follow_ups = Vec::with_capacity(with.follow_ups.len());
        for follow_up in &with.follow_ups {
            match self.take_in(follow_up, Origin::FollowUp)? {
                Ok(taken) => follow_ups.push(taken.id()),
                Err(refused) => return Ok(Err(refused.into())),
            }
        }
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
