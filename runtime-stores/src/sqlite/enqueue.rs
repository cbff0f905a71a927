//! Tasks come in.

use runtime_core::name::{FlowKey, IdempotencyKey, OrderingKey, Scope};
use runtime_core::store::{AppWrite, EnqueueError, Enqueued};
use runtime_core::task::{NewTask, TaskState};

use super::books::millis;
use super::columns::trace_to_text;
use super::fault::Fault;
use super::writer::{RouteIds, Writer};
use crate::content::{self, millis_up};

/// Who makes a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Somebody outside: bounded.
    Outside,
    /// A settlement: always taken, so that settling cannot wait for settling.
    FollowUp,
}

/// A new task without anything rare, about to be written.
pub(super) struct PlainRow<'t> {
    pub(super) row: i64,
    pub(super) ids: RouteIds,
    pub(super) rank: i64,
    pub(super) task: &'t NewTask,
}

impl Writer<'_> {
    pub(super) fn enqueue(
        &mut self,
        tasks: &[NewTask],
    ) -> Result<Vec<Result<Enqueued, EnqueueError>>, Fault> {
        let mut plain = Vec::with_capacity(tasks.len());
        let taken = tasks.iter().map(|task| self.take_in(task, Origin::Outside, &mut plain));
        let answers = taken.collect::<Result<_, _>>()?;
        self.write_plain(&plain)?;
        Ok(answers)
    }

    pub(super) fn enqueue_whole(
        &mut self,
        (tasks, writes): &(Vec<NewTask>, Vec<AppWrite>),
    ) -> Result<Result<Vec<Enqueued>, EnqueueError>, Fault> {
        self.all_or_nothing(|writer| {
            let mut taken = Vec::with_capacity(tasks.len());
            let mut plain = Vec::new();
            for task in tasks {
                match writer.take_in(task, Origin::Outside, &mut plain)? {
                    Ok(enqueued) => taken.push(enqueued),
                    Err(refused) => return Ok(Err(refused)),
                }
            }
            writer.write_plain(&plain)?;
            Ok(writer.write_app_rows(writes)?.map(|()| taken).map_err(EnqueueError::AppWrite))
        })
    }

    /// One task: new, known, or refused. A new one without anything rare is left to the caller, who writes it with others like it: nobody
    /// who comes in meanwhile could meet it.
    pub(super) fn take_in<'t>(
        &mut self,
        task: &'t NewTask,
        origin: Origin,
        plain: &mut Vec<PlainRow<'t>>,
    ) -> Result<Result<Enqueued, EnqueueError>, Fault> {
        if let Err(refused) = content::check(task, &self.limits) {
            return Ok(Err(refused));
        }
        let ids = self.route(&task.route)?;
        if origin == Origin::Outside
            && let Err(refused) = self.policies.check(ids.queue, task)
        {
            return Ok(Err(refused));
        }
        let key = task
            .idempotency_key
            .as_ref()
            .map(|key| (content::key_hash(&task.route.queue, key), content::hash(task)));
        if let Some((hash, content)) = &key
            && let Some(known) = self.known(hash)?
            && let Some(answer) = self.meet(task, hash, content, &known)?
        {
            return Ok(answer);
        }
        if origin == Origin::Outside
            && let Some(refused) = self.refuse(task, ids.queue)?
        {
            return Ok(Err(refused));
        }
        let row = self.insert(task, ids, plain)?;
        if let Some((hash, content)) = &key {
            let keep_until = task.unique.keep_until(self.timestamp()?).map(|at| at.as_millisecond());
            self.sql.insert_key.execute((hash, content, row, self.now, keep_until))?;
        }
        Ok(Ok(Enqueued::Accepted { id: self.id(row, self.now)? }))
    }

    fn insert<'t>(
        &mut self,
        task: &'t NewTask,
        ids: RouteIds,
        plain: &mut Vec<PlainRow<'t>>,
    ) -> Result<i64, Fault> {
        let row = self.next_row()?;
        let latest = match task.idempotency_key {
            Some(_) => task.unique.latest(self.timestamp()?),
            None => None,
        };
        let run_at = content::due(task, latest).map(millis).filter(|run_at| *run_at > self.now);
        let state = if run_at.is_some() { TaskState::Scheduled } else { TaskState::Ready };
        let at = run_at.unwrap_or(self.now);
        let ordering_key = task.ordering_key.as_ref().map(OrderingKey::as_str);
        let scope = task.scope.as_ref().map(Scope::as_str);
        let held = self.held_on_entry(ids.queue, ordering_key, scope)?;
        let rank = content::rank(at, task.priority, self.priority_step);
        let lane = self.lane_of(ids.queue, task);
        let rare = run_at.is_some()
            || ordering_key.is_some()
            || lane.is_some()
            || task.weight.get() != 1
            || task.deadline.is_some()
            || task.tenant.is_some()
            || scope.is_some()
            || task.idempotency_key.is_some()
            || task.trace.is_some()
            || task.correlation_id.is_some()
            || task.causation_id.is_some();
        self.books.enter(ids.queue, state);
        self.books.due_changed |= state == TaskState::Scheduled;
        if !rare {
            plain.push(PlainRow { row, ids, rank, task });
            return Ok(row);
        }
        let insert = &mut self.sql.insert_full;
        insert.raw_bind_parameter(1, row)?;
        insert.raw_bind_parameter(2, state.number())?;
        insert.raw_bind_parameter(3, ids.queue)?;
        insert.raw_bind_parameter(4, task.priority.0)?;
        insert.raw_bind_parameter(5, at)?;
        insert.raw_bind_parameter(6, task.max_attempts.get())?;
        insert.raw_bind_parameter(7, ids.route)?;
        insert.raw_bind_parameter(8, task.schema_version)?;
        insert.raw_bind_parameter(9, self.now)?;
        insert.raw_bind_parameter(10, task.payload.as_slice())?;
        insert.raw_bind_parameter(11, rank)?;
        insert.raw_bind_parameter(12, run_at)?;
        insert.raw_bind_parameter(13, task.deadline.map(millis_up))?;
        insert.raw_bind_parameter(14, task.tenant.as_ref().map(|name| name.as_str()))?;
        insert.raw_bind_parameter(15, scope)?;
        insert.raw_bind_parameter(16, task.idempotency_key.as_ref().map(IdempotencyKey::as_str))?;
        insert.raw_bind_parameter(17, task.trace.as_ref().map(trace_to_text))?;
        insert.raw_bind_parameter(18, task.correlation_id.as_ref().map(|name| name.as_str()))?;
        insert.raw_bind_parameter(19, task.causation_id.map(|id| id.to_string()))?;
        insert.raw_bind_parameter(20, ordering_key)?;
        insert.raw_bind_parameter(21, held)?;
        insert.raw_bind_parameter(22, lane.as_ref().map(FlowKey::as_str))?;
        insert.raw_bind_parameter(23, task.weight.get())?;
        insert.raw_execute()?;
        Ok(row)
    }
}
