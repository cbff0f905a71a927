//! Lists, walks and counts: the ways to the tasks that may fit, merged in the order of rows.

use std::sync::PoisonError;

use runtime_core::store::{StateCounts, TaskCount, TaskFilter, TaskPage};
use runtime_core::task::{TaskId, TaskState};
use rusqlite::{CachedStatement, Connection, Rows};

use super::super::budget::Budget;
use super::super::columns::{moment, state};
use super::super::conditions::{Conditions, FINISHED, LIVE};
use super::super::fault::Fault;
use super::super::ways::{FEW, Order, Table, Way, Ways};
use super::super::writer::row_of;
use super::{Look, Reader};

/// Most tasks that one page looks at: where few fit among many, it comes back short and says where it goes on.
pub(in super::super) const PAGE_LOOKS_AT: u64 = 10_000;

/// A task on a way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) row: i64,
    table: Table,
    fits: bool,
    state: TaskState,
}

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing is left to look at.
    Whole,
    /// There may be more behind this row.
    At(i64),
}

impl Look<'_> {
    /// How many tasks stand where, as of the last commit, by the number of their queue.
    pub(super) fn counts(&self) -> Vec<(i64, StateCounts)> {
        let counts = self.shared.counts.read().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter_map(|(queue, counts)| Some((self.names.queue_id(queue)?, *counts))).collect()
    }
}

impl Reader {
    pub(in super::super) fn list(
        &self,
        look: &Look<'_>,
        filter: &TaskFilter,
        after: Option<TaskId>,
        page_size: usize,
    ) -> Result<TaskPage, Fault> {
        let counts = look.counts();
        let Some(conditions) = Conditions::of(filter, look.names) else { return Ok(TaskPage::default()) };
        let conditions = conditions.where_tasks_are(&counts);
        // One snapshot: a task that moves to history meanwhile is found in one of the two.
        let tx = self.conn.unchecked_transaction()?;
        let ways = [Ways::live(&conditions, &counts), Ways::finished(&conditions)];
        let ways =
            ways.into_iter().zip(parts(&conditions)).filter(|(_, wanted)| *wanted).map(|(ways, _)| ways);
        let mut found = Vec::new();
        let mut more = false;
        let ended = through(
            &tx,
            &conditions,
            ways.collect(),
            after.map(row_of),
            Order::NewestFirst,
            &mut Budget::of(PAGE_LOOKS_AT),
            |entry| {
                // One more than was asked for, to see whether there is one.
                more = found.len() == page_size;
                if !more {
                    found.push(entry);
                }
                !more
            },
        )?;
        let mut live = tx.prepare_cached(&format!("{LIVE} WHERE row = ?1"))?;
        let mut finished = tx.prepare_cached(&format!("{FINISHED} WHERE row = ?1"))?;
        let mut tasks = Vec::with_capacity(found.len());
        for entry in &found {
            let statement = if entry.table == Table::Live { &mut live } else { &mut finished };
            let mut rows = statement.query([entry.row])?;
            let row =
                rows.next()?.ok_or_else(|| Fault::corrupt(format!("an index leads to row {}", entry.row)))?;
            tasks.push(self.task(row, look)?);
        }
        let next = match ended {
            _ if more => tasks.last().map(|task| task.id),
            Ended::Whole => None,
            Ended::At(row) => Some(id_of(&tx, look, row)?),
        };
        Ok(TaskPage { tasks, next })
    }

    pub(in super::super) fn walk(
        &self,
        look: &Look<'_>,
        filter: &TaskFilter,
        after: Option<TaskId>,
        up_to: usize,
    ) -> Result<Vec<TaskId>, Fault> {
        let Some(conditions) = Conditions::of(filter, look.names) else { return Ok(Vec::new()) };
        let tx = self.conn.unchecked_transaction()?;
        // Only in the order of rows, so that a walk over all of them reads each once, however few fit and however many steps it takes.
        let ways = [Ways::live(&conditions, &[]), Ways::finished(&conditions)]
            .map(|ways| Ways { few: Vec::new(), ..ways });
        let ways =
            ways.into_iter().zip(parts(&conditions)).filter(|(_, wanted)| *wanted).map(|(ways, _)| ways);
        let mut rows = Vec::new();
        through(
            &tx,
            &conditions,
            ways.collect(),
            after.map(row_of),
            Order::OldestFirst,
            &mut Budget::endless(),
            |entry| {
                rows.push(entry.row);
                rows.len() < up_to
            },
        )?;
        rows.truncate(up_to);
        rows.into_iter().map(|row| id_of(&tx, look, row)).collect()
    }

    pub(in super::super) fn count(
        &self,
        look: &Look<'_>,
        filter: &TaskFilter,
        look_at_most: u64,
    ) -> Result<TaskCount, Fault> {
        let mut counted = TaskCount { counts: StateCounts::default(), whole: true };
        let counts = look.counts();
        let Some(conditions) = Conditions::of(filter, look.names) else { return Ok(counted) };
        let conditions = conditions.where_tasks_are(&counts);
        let tx = self.conn.unchecked_transaction()?;
        // Live tasks have half of the time, finished ones what is left of it.
        let whole = Budget::of(look_at_most);
        for (finished, wanted) in [false, true].into_iter().zip(parts(&conditions)) {
            if !wanted || known(&conditions, &counts, finished, &mut counted.counts) {
                continue;
            }
            let ways = if finished { Ways::finished(&conditions) } else { Ways::live(&conditions, &counts) };
            let mut budget = if finished { whole.again() } else { whole.half_as_long() };
            let ended =
                through(&tx, &conditions, vec![ways], None, Order::NewestFirst, &mut budget, |entry| {
                    *counted.counts.of_mut(entry.state) += 1;
                    true
                })?;
            counted.whole &= ended == Ended::Whole;
        }
        Ok(counted)
    }
}

/// Whether live tasks, and whether finished ones, can fit.
fn parts(conditions: &Conditions<'_>) -> [bool; 2] {
    [false, true].map(|finished| conditions.states.iter().any(|state| state.is_finished() == finished))
}

/// Adds what the writer has counted anyway, when every queue and state of this part fits whole or not at all.
fn known(
    conditions: &Conditions<'_>,
    counts: &[(i64, StateCounts)],
    finished: bool,
    counted: &mut StateCounts,
) -> bool {
    let states = || TaskState::ALL.into_iter().filter(|state| state.is_finished() == finished);
    let mut sum = *counted;
    for (queue, counts) in counts {
        for state in states().filter(|state| counts.of(*state) > 0) {
            match conditions.decided(*queue, state) {
                Some(true) => *sum.of_mut(state) += counts.of(state),
                Some(false) => {}
                None => return false,
            }
        }
    }
    *counted = sum;
    true
}

/// Looks at the tasks of all ways, each once, and hands on those that fit, until `found` has enough or the budget is used up.
pub(super) fn through(
    conn: &Connection,
    conditions: &Conditions<'_>,
    ways: Vec<Ways>,
    after: Option<i64>,
    order: Order,
    budget: &mut Budget,
    mut found: impl FnMut(Entry) -> bool,
) -> Result<Ended, Fault> {
    let (mut ordered, mut gathered) = (Vec::new(), Vec::new());
    for ways in ways {
        match gather(conn, &ways.few, after, order)? {
            Some(rows) => gathered.push(rows),
            None => {
                for way in ways.ordered {
                    let (sql, values) = way.looked_at(conditions, after, order);
                    ordered.push((conn.prepare_cached(&sql)?, values, way.table));
                }
            }
        }
    }
    let mut streams = Vec::with_capacity(ordered.len() + gathered.len());
    for (statement, values, table) in &mut ordered {
        streams.push(Stream::Way(statement.query(values.bound())?, *table));
    }
    for (rows, table) in gathered {
        let (sql, values) = table.one(conditions);
        let mut statement = conn.prepare_cached(&sql)?;
        let place = values.bind(&mut statement)?;
        streams.push(Stream::Gathered { rows: rows.into_iter(), table, statement, place });
    }
    let mut heads = Vec::with_capacity(streams.len());
    for stream in &mut streams {
        heads.push(stream.next()?);
    }
    let mut last = None;
    loop {
        let rows = heads.iter().enumerate().filter_map(|(at, head)| head.map(|entry| (entry.row, at)));
        let next = match order {
            Order::NewestFirst => rows.max(),
            Order::OldestFirst => rows.min(),
        };
        let Some((row, at)) = next else { return Ok(Ended::Whole) };
        // Two prefixes may lead to the same task.
        let again = last == Some(row);
        if !again
            && !budget.take()
            && let Some(stopped_at) = last
        {
            return Ok(Ended::At(stopped_at));
        }
        let entry = std::mem::replace(&mut heads[at], streams[at].next()?);
        last = Some(row);
        if let Some(entry) = entry.filter(|entry| entry.fits && !again)
            && !found(entry)
        {
            return Ok(Ended::At(row));
        }
    }
}

/// The rows of every task on these ways, in order, when they are few. `None`: they are not, or there is no such way.
fn gather(
    conn: &Connection,
    few: &[Way],
    after: Option<i64>,
    order: Order,
) -> Result<Option<(Vec<i64>, Table)>, Fault> {
    let Some(table) = few.first().map(|way| way.table) else { return Ok(None) };
    let mut gathered: Vec<i64> = Vec::new();
    for way in few {
        let (sql, values) = way.rows(after, order);
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(values.bound())?;
        while let Some(row) = rows.next()? {
            gathered.push(row.get(0)?);
            if gathered.len() as u64 > FEW {
                return Ok(None);
            }
        }
    }
    gathered.sort_unstable();
    gathered.dedup();
    if order == Order::NewestFirst {
        gathered.reverse();
    }
    Ok(Some((gathered, table)))
}

/// Tasks in the order of rows.
enum Stream<'s> {
    /// As their way has them.
    Way(Rows<'s>, Table),
    /// Rows that were gathered, each looked at when it is its turn.
    Gathered { rows: std::vec::IntoIter<i64>, table: Table, statement: CachedStatement<'s>, place: usize },
}

impl Stream<'_> {
    fn next(&mut self) -> Result<Option<Entry>, Fault> {
        match self {
            Self::Way(rows, table) => match rows.next()? {
                Some(found) => {
                    let (row, fits) = (found.get(0)?, found.get(1)?);
                    Ok(Some(Entry { row, table: *table, fits, state: state(found.get(2)?)? }))
                }
                None => Ok(None),
            },
            Self::Gathered { rows, table, statement, place } => {
                let Some(row) = rows.next() else { return Ok(None) };
                statement.raw_bind_parameter(*place, row)?;
                let mut looked_at = statement.raw_query();
                let found = looked_at
                    .next()?
                    .ok_or_else(|| Fault::corrupt(format!("an index leads to row {row}")))?;
                Ok(Some(Entry { row, table: *table, fits: found.get(0)?, state: state(found.get(1)?)? }))
            }
        }
    }
}

fn id_of(conn: &Connection, look: &Look<'_>, row: i64) -> Result<TaskId, Fault> {
    let sql = "SELECT created_at FROM rt_task WHERE row = ?1 UNION ALL SELECT created_at FROM rt_history WHERE row = ?1";
    let created_at = conn.prepare_cached(sql)?.query_row([row], |row| row.get(0))?;
    Ok(TaskId::new(moment(created_at)?, look.salt, row.unsigned_abs()))
}
