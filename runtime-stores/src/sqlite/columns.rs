//! Rows to tasks and back.

use std::fmt::Display;
use std::num::NonZeroU32;
use std::str::FromStr;

use jiff::Timestamp;
use runtime_core::name::{CorrelationId, IdempotencyKey, OrderingKey, Scope, Tenant};
use runtime_core::task::{Epoch, Priority, Progress, Task, TaskId, TaskState};
use runtime_core::trace::TraceContext;
use rusqlite::Row;
use rusqlite::types::{FromSql, ValueRef};

use super::fault::Fault;
use super::names::Names;

/// The columns that live and finished tasks share, in the order in which [`task`] reads them.
macro_rules! shared_columns {
    () => {
        "row, state, queue, priority, at, epoch, attempt, max_attempts, crash_count, holder, route, schema_version, \
         created_at, payload, run_at, deadline, approved, tenant, scope, idempotency_key, trace, correlation_id, \
         causation_id, checkpoint, progress, error, ordering_key, edited, weight"
    };
}
pub(super) use shared_columns;

/// Position of `output`, which only finished tasks have.
pub(super) const OUTPUT: usize = 29;

/// Position of `held`, behind the shared columns of a live task. See [`super::line`].
pub(super) const HELD: usize = OUTPUT;

/// Position of `lane`, behind `held`.
pub(super) const LANE: usize = HELD + 1;

/// A row that begins with [`shared_columns`] and, when finished, goes on with `output`. Whether it is held is not looked at.
pub(super) fn task(row: &Row<'_>, names: &Names, salt: u64) -> Result<Task, Fault> {
    let state = state(row.get(1)?)?;
    let created_at = moment(row.get(12)?)?;
    let at = moment(row.get(4)?)?;
    let holder =
        if state == TaskState::Leased { Some((names.instance(row.get(9)?)?.clone(), at)) } else { None };
    let number: i64 = row.get(0)?;
    Ok(Task {
        id: TaskId::new(created_at, salt, number.unsigned_abs()),
        route: names.route(row.get(10)?)?.clone(),
        payload: row.get_ref(13)?.as_bytes().map_err(misfit)?.to_vec(),
        schema_version: row.get(11)?,
        tenant: name::<Tenant>(row, 17)?,
        scope: name::<Scope>(row, 18)?,
        priority: Priority(row.get(3)?),
        weight: weight(row.get(28)?)?,
        idempotency_key: name::<IdempotencyKey>(row, 19)?,
        ordering_key: name::<OrderingKey>(row, 26)?,
        run_at: optional(row, 14)?.map_or(Ok(created_at), moment)?,
        deadline: optional(row, 15)?.map(moment).transpose()?,
        state,
        held: None,
        attempt: row.get(6)?,
        max_attempts: row.get(7)?,
        crash_count: row.get(8)?,
        epoch: Epoch(row.get::<_, i64>(5)?.unsigned_abs()),
        holder,
        trace: text(row, 20)?.map(trace_from_text),
        correlation_id: name::<CorrelationId>(row, 21)?,
        causation_id: text(row, 22)?.map(|id| id.parse().map_err(misfit)).transpose()?,
        created_at,
        checkpoint: optional(row, 23)?,
        progress: text(row, 24)?
            .map(|json| serde_json::from_str::<Progress>(json).map_err(misfit))
            .transpose()?,
        approved: row.get(16)?,
        edited: row.get(27)?,
        last_error: text(row, 25)?.map(|json| serde_json::from_str(json).map_err(misfit)).transpose()?,
        finished_at: state.is_finished().then_some(at),
        output: if state.is_finished() { optional(row, OUTPUT)? } else { None },
    })
}

pub(super) fn state(number: u8) -> Result<TaskState, Fault> {
    TaskState::from_number(number).ok_or_else(|| Fault::corrupt(format!("no state {number}")))
}

pub(super) fn weight(number: u32) -> Result<NonZeroU32, Fault> {
    NonZeroU32::new(number).ok_or_else(|| Fault::corrupt("a task of no weight".to_owned()))
}

pub(super) fn moment(millis: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_millisecond(millis).map_err(misfit)
}

pub(super) fn trace_to_text(trace: &TraceContext) -> String {
    match &trace.tracestate {
        Some(tracestate) => format!("{}\n{tracestate}", trace.traceparent),
        None => trace.traceparent.clone(),
    }
}

pub(super) fn trace_from_text(text: &str) -> TraceContext {
    match text.split_once('\n') {
        Some((parent, state)) => TraceContext { traceparent: parent.into(), tracestate: Some(state.into()) },
        None => TraceContext { traceparent: text.into(), tracestate: None },
    }
}

pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value)
        .map_err(|error| Fault(runtime_core::store::StoreError::Unavailable { detail: error.to_string() }))
}

fn optional<T: FromSql>(row: &Row<'_>, index: usize) -> Result<Option<T>, Fault> {
    // Most of these are absent: look before converting.
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        value => T::column_result(value).map(Some).map_err(misfit),
    }
}

fn text<'a>(row: &'a Row<'_>, index: usize) -> Result<Option<&'a str>, Fault> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        value => value.as_str().map(Some).map_err(misfit),
    }
}

pub(super) fn name<T: FromStr<Err: Display>>(row: &Row<'_>, index: usize) -> Result<Option<T>, Fault> {
    text(row, index)?.map(|value| value.parse().map_err(misfit)).transpose()
}

fn misfit(error: impl Display) -> Fault {
    Fault::corrupt(error.to_string())
}
