//! Who stands in line: tasks behind the head of their ordering key, and tasks of a paused scope. Both are *held*, which is a number in
//! their row, so that the index of ready tasks leaves them out and a claim never meets them.
//!
//! Invariant: of the live tasks of one queue and ordering key at most one is not [`BEHIND`] another, and none while a dead head
//! blocks the key. Whenever that one finishes, in whatever way, the lowest row of the rest follows in the same transaction; a lower row
//! is an earlier task, so the order is that of enqueuing, and a replayed task is the next.

use std::collections::BTreeSet;

use runtime_core::name::{QueueName, Scope};
use runtime_core::task::TaskState;
use rusqlite::OptionalExtension;

use super::fault::Fault;
use super::writer::Writer;

/// Bit of `held`: waits behind the head of its ordering key.
pub(super) const BEHIND: u8 = 1;

/// Bit of `held`: its scope is paused.
pub(super) const PAUSED: u8 = 2;

impl Writer<'_> {
    /// How a task that comes in, or comes back from history, is held.
    pub(super) fn held_on_entry(
        &mut self,
        queue: i64,
        ordering_key: Option<&str>,
        scope: Option<&str>,
    ) -> Result<u8, Fault> {
        let mut held = 0;
        if let Some(key) = ordering_key
            && self.sql.key_is_taken.exists((queue, key))?
        {
            held |= BEHIND;
        }
        if let Some(scope) = scope
            && self.sql.scope_is_paused.exists((queue, scope))?
        {
            held |= PAUSED;
        }
        Ok(held)
    }

    /// How a finished task will be held when it is live again. If it was the one that blocked its key, it is the head again.
    pub(super) fn held_on_return(&mut self, row: i64, queue: i64) -> Result<u8, Fault> {
        let (key, scope): (Option<String>, Option<String>) =
            self.sql.finished_line.query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let blocked = key.is_some() && self.sql.delete_blocker.execute([row])? == 1;
        self.held_on_entry(queue, key.as_deref().filter(|_| !blocked), scope.as_deref())
    }

    /// Whether a live task has to wait although it may be due.
    pub(super) fn is_held(&mut self, row: i64) -> Result<bool, Fault> {
        let held: u8 = self.sql.line.query_row([row], |row| row.get(1))?;
        Ok(held != 0)
    }

    /// The key that a live task is the head of, if it is one.
    pub(super) fn headed_key(&mut self, row: i64) -> Result<Option<String>, Fault> {
        let (key, held): (Option<String>, u8) =
            self.sql.line.query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(key.filter(|_| held & BEHIND == 0))
    }

    /// The head of a key has finished: the next may go on, unless a dead head blocks here.
    pub(super) fn head_finished(
        &mut self,
        row: i64,
        queue: i64,
        key: &str,
        ended: TaskState,
    ) -> Result<(), Fault> {
        if ended == TaskState::Dead && self.policies.of(queue).dead_head_blocks {
            self.sql.insert_blocker.execute((row, queue, key))?;
            return Ok(());
        }
        self.let_next_go(queue, key)
    }

    /// A finished task no longer blocks its key, if it did.
    pub(super) fn unblock(&mut self, row: i64, queue: i64) -> Result<(), Fault> {
        if self.sql.delete_blocker.execute([row])? == 1 {
            let key: Option<String> = self.sql.finished_line.query_row([row], |row| row.get(0))?;
            if let Some(key) = key {
                self.let_next_go(queue, &key)?;
            }
        }
        Ok(())
    }

    /// No dead head blocks this queue any longer.
    pub(super) fn unblock_all(&mut self, queue: i64) -> Result<(), Fault> {
        let rows: Vec<i64> =
            self.sql.blockers.query_map([queue], |row| row.get(0))?.collect::<Result<_, _>>()?;
        rows.into_iter().try_for_each(|row| self.unblock(row, queue))
    }

    fn let_next_go(&mut self, queue: i64, key: &str) -> Result<(), Fault> {
        let next = self
            .sql
            .first_of_key
            .query_row((queue, key), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, u8>(1)?, row.get::<_, u8>(2)?))
            })
            .optional()?;
        let Some((row, state, held)) = next else { return Ok(()) };
        let held = held & !BEHIND;
        self.sql.set_held.execute((row, held))?;
        if held == 0 && state == TaskState::Ready.number() {
            self.find_suspects(queue)?;
            self.books.wake(queue);
        }
        Ok(())
    }

    pub(super) fn pause_scope(
        &mut self,
        (queue, scope, paused, reason): &(QueueName, Scope, bool, String),
    ) -> Result<bool, Fault> {
        let (queue, scope) = (self.queue(queue)?, scope.as_str());
        let was_paused = self.sql.delete_paused.execute((queue, scope))? == 1;
        if *paused {
            self.sql.insert_paused.execute((queue, scope, reason, self.now))?;
        }
        // What came meanwhile was held as it came.
        if was_paused != *paused {
            let tasks = if *paused { &mut self.sql.hold_scope } else { &mut self.sql.let_scope_go };
            tasks.execute((queue, scope))?;
            if was_paused {
                self.books.wake(queue);
            }
            self.find_suspects(queue)?;
        }
        Ok(was_paused)
    }

    /// Who may only run alone is in the books only while nothing holds it.
    fn find_suspects(&mut self, queue: i64) -> Result<(), Fault> {
        let found: BTreeSet<i64> =
            self.sql.suspects.query_map([queue], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let known: BTreeSet<i64> = self.books.suspects(queue).collect();
        known.difference(&found).for_each(|row| self.books.drop_suspect(queue, *row));
        found.difference(&known).for_each(|row| self.books.add_suspect(queue, *row));
        Ok(())
    }
}
