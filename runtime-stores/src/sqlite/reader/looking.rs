//! Lists, walks and counts: the ways to the tasks that may fit, merged in the order of rows.

use std::sync::PoisonError;

use runtime_core::store::{StateCounts, TaskCount, TaskFilter, TaskPage};
use runtime_core::task::{TaskId, TaskState};
use rusqlite::{CachedStatement, Connection, Rows};

use super::super::columns::{moment, state};
use super::super::conditions::{Conditions, FINISHED, LIVE};
use super::super::fault::Fault;
use super::super::ways::{FEW, Order, Table, Way, Ways};
use super::super::writer::row_of;
use super::{Look, Reader};

/// Most tasks that one page looks at: where few fit among many, it comes back short and says where it goes on.
pub(in super::super) const PAGE_LOOKS_AT: usize = 10_000;

/// A task on a way.
#[derive(Debug, Clone, Copy)]
struct Entry {
    row: i64,
    table: Table,
    fits: bool,
    state: TaskState,
}

impl Entry {
    fn read(row: &rusqlite::Row<'_>, table: Table) -> Result<Self, Fault> {
        Ok(Self { row: row.get(0)?, table, fits: row.get(1)?, state: state(row.get(2)?)? })
    }
}

/// How a look ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Nothing is left to look at.
    Whole,
    /// There may be more behind this row.
    At(i64),
}

impl Look<'_> {
    /// How many tasks stand where, as of the last commit, by the number of their queue.
    fn counts(&self) -> Vec<(i64, StateCounts)> {
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
            PAGE_LOOKS_AT,
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
            usize::MAX,
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
        for (finished, wanted) in [false, true].into_iter().zip(parts(&conditions)) {
            if !wanted || known(&conditions, &counts, finished, &mut counted.counts) {
                continue;
            }
            let ways = if finished { Ways::finished(&conditions) } else { Ways::live(&conditions, &counts) };
            let most = usize::try_from(look_at_most).unwrap_or(usize::MAX);
            let ended = through(&tx, &conditions, vec![ways], None, Order::NewestFirst, most, |entry| {
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

/// Looks at the tasks of all ways, each once, and hands on those that fit, until `found` has enough or so many were looked at.
fn through(
    conn: &Connection,
    conditions: &Conditions<'_>,
    ways: Vec<Ways>,
    after: Option<i64>,
    order: Order,
    at_most: usize,
    mut found: impl FnMut(Entry) -> bool,
) -> Result<Ended, Fault> {
    let mut gathered = Vec::new();
    let mut statements = Vec::new();
    for Ways { ordered, few } in ways {
        match gather(conn, conditions, &few, after)? {
            Some(entries) => gathered.extend(entries),
            None => {
                for way in ordered {
                    let (sql, values) = way.sql(conditions, after, Some(order));
                    statements.push((conn.prepare_cached(&sql)?, values, way.table));
                }
            }
        }
    }
    gathered.sort_unstable_by_key(|entry| entry.row);
    if order == Order::NewestFirst {
        gathered.reverse();
    }
    let mut streams = vec![Stream::Gathered(gathered.into_iter())];
    for (statement, values, table) in &mut statements {
        streams.push(Stream::Rows(statement.query(values.bound())?, *table));
    }
    let mut heads = Vec::with_capacity(streams.len());
    for stream in &mut streams {
        heads.push(stream.next()?);
    }
    let mut last = None;
    let mut looked_at = 0;
    loop {
        let rows = heads.iter().enumerate().filter_map(|(at, head)| head.map(|entry| (entry.row, at)));
        let next = match order {
            Order::NewestFirst => rows.max(),
            Order::OldestFirst => rows.min(),
        };
        let Some((row, at)) = next else { return Ok(Ended::Whole) };
        if let Some(stopped_at) = last.filter(|_| looked_at >= at_most) {
            return Ok(Ended::At(stopped_at));
        }
        let entry = std::mem::replace(&mut heads[at], streams[at].next()?);
        // Two prefixes may lead to the same task.
        if last.replace(row) == Some(row) {
            continue;
        }
        looked_at += 1;
        if let Some(entry) = entry.filter(|entry| entry.fits)
            && !found(entry)
        {
            return Ok(Ended::At(row));
        }
    }
}

/// Every task on these ways, when they are few. `None`: they are not, or there is no such way.
fn gather(
    conn: &Connection,
    conditions: &Conditions<'_>,
    few: &[Way],
    after: Option<i64>,
) -> Result<Option<Vec<Entry>>, Fault> {
    if few.is_empty() {
        return Ok(None);
    }
    let mut entries = Vec::new();
    for way in few {
        let (sql, values) = way.sql(conditions, after, None);
        let mut statement: CachedStatement<'_> = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(values.bound())?;
        while let Some(row) = rows.next()? {
            entries.push(Entry::read(row, way.table)?);
            if entries.len() as u64 > FEW {
                return Ok(None);
            }
        }
    }
    Ok(Some(entries))
}

/// Tasks in the order of rows.
enum Stream<'s> {
    Rows(Rows<'s>, Table),
    Gathered(std::vec::IntoIter<Entry>),
}

impl Stream<'_> {
    fn next(&mut self) -> Result<Option<Entry>, Fault> {
        match self {
            Self::Gathered(entries) => Ok(entries.next()),
            Self::Rows(rows, table) => match rows.next()? {
                Some(row) => Entry::read(row, *table).map(Some),
                None => Ok(None),
            },
        }
    }
}

fn id_of(conn: &Connection, look: &Look<'_>, row: i64) -> Result<TaskId, Fault> {
    let sql = "SELECT created_at FROM rt_task WHERE row = ?1 UNION ALL SELECT created_at FROM rt_history WHERE row = ?1";
    let created_at = conn.prepare_cached(sql)?.query_row([row], |row| row.get(0))?;
    Ok(TaskId::new(moment(created_at)?, look.salt, row.unsigned_abs()))
}
