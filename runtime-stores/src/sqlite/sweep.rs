//! What happens by itself: due times, leases that run out, deadlines, forgetting.
//!
//! Every step is one small member of a group, so that a sweep of millions never keeps callers waiting.

use runtime_core::lifecycle::{LifecycleEvent, LifecycleView, transition};
use runtime_core::store::Swept;
use runtime_core::task::TaskState;

use super::columns::{json, moment, state};
use super::fault::Fault;
use super::settle::Finish;
use super::writer::Writer;
use crate::retention::Kept;

/// Most rows of one step.
const STEP: usize = 1_000;

/// Most rows of one step, as a bound value.
const STEP_ROWS: i64 = 1_000;

/// What one step did.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) swept: Swept,
    /// Whether another step would find something.
    pub(super) more: bool,
}

impl Writer<'_> {
    /// One step; the sweep is over when it says that there is no more.
    pub(super) fn sweep(&mut self) -> Result<Step, Fault> {
        let promoted = self.promote_due()?;
        let expired_leases = self.release_expired()?;
        let past_deadline = self.end_past_deadline()?;
        let (forgotten, trimming) = self.trim_history()?;
        let forgotten_keys = self.sql.forget_keys.execute((self.now, STEP_ROWS))?;
        let trimming_audit = self.trim_audit()?;
        self.sql.forget_buckets.execute([self.now.saturating_mul(1_000_000)])?;
        if self.hold_back.ran_out(self.now) {
            self.wake_everybody();
        }
        self.books.forget_expired(self.now);
        self.watch_loads()?;
        let next_due: Option<i64> = self.sql.next_due.query_row([], |row| row.get(0))?;
        let next_due = next_due.into_iter().chain(self.wake_lanes()?).min();
        let full = [promoted, expired_leases, past_deadline, forgotten_keys].contains(&STEP);
        Ok(Step {
            swept: Swept {
                promoted,
                expired_leases,
                past_deadline,
                forgotten,
                next_due: next_due.map(moment).transpose()?,
            },
            more: full || trimming || trimming_audit,
        })
    }

    fn promote_due(&mut self) -> Result<usize, Fault> {
        let mut due = Vec::new();
        {
            let mut rows = self.sql.due.query((self.now, STEP_ROWS))?;
            while let Some(row) = rows.next()? {
                let view = LifecycleView {
                    state: TaskState::Scheduled,
                    attempt: row.get(2)?,
                    max_attempts: row.get(3)?,
                    crash_count: row.get(4)?,
                };
                due.push((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, view, row.get::<_, u8>(5)?));
            }
        }
        for (row, queue, view, held) in &due {
            let next =
                transition(*view, LifecycleEvent::Due).map_err(|error| Fault::corrupt(error.to_string()))?;
            self.sql.promote.execute([row])?;
            self.books.leave(*queue, view.state);
            self.books.enter(*queue, next.state);
            if runtime_core::lifecycle::runs_alone(next.crash_count) && *held == 0 {
                self.books.add_suspect(*queue, *row);
            }
        }
        Ok(due.len())
    }

    fn release_expired(&mut self) -> Result<usize, Fault> {
        let rows = self.rows_of_expired(self.now)?;
        for row in &rows {
            self.lose_lease(*row)?;
        }
        Ok(rows.len())
    }

    fn rows_of_expired(&mut self, until: i64) -> Result<Vec<i64>, Fault> {
        let found = self.sql.expired.query_map((until, STEP_ROWS), |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// The predecessor's leases are released, whenever they would end. Returns how many there were.
    pub(super) fn release_all(&mut self) -> Result<usize, Fault> {
        let mut released = 0;
        loop {
            let rows = self.rows_of_expired(i64::MAX)?;
            for row in &rows {
                self.lose_lease(*row)?;
            }
            released += rows.len();
            if rows.len() < STEP {
                return Ok(released);
            }
        }
    }

    /// The instance that held this task died, or let its lease run out.
    fn lose_lease(&mut self, row: i64) -> Result<(), Fault> {
        let Some(standing) = self.standing_of_row(row)? else { return Ok(()) };
        let next = transition(standing.view, LifecycleEvent::LeaseLost)
            .map_err(|error| Fault::corrupt(error.to_string()))?;
        let error = next.error.as_ref().map(json).transpose()?;
        self.sql.insert_attempt.execute((
            row,
            standing.epoch,
            standing.view.attempt,
            standing.holder,
            self.now,
            0,
            "lease_lost",
            error,
            None::<String>,
            None::<i64>,
        ))?;
        self.books.let_go(row);
        self.wake_after_alone(&standing);
        self.place(row, &standing, next)?;
        Ok(())
    }

    fn end_past_deadline(&mut self) -> Result<usize, Fault> {
        let found = self.sql.past_deadline.query_map((self.now, STEP_ROWS), |row| row.get(0))?;
        let rows: Vec<i64> = found.collect::<Result<_, _>>()?;
        for row in &rows {
            let Some(standing) = self.standing_of_row(*row)? else { continue };
            let next = transition(standing.view, LifecycleEvent::Expired)
                .map_err(|error| Fault::corrupt(error.to_string()))?;
            self.finish(
                *row,
                standing.queue,
                standing.view.state,
                standing.ordered,
                &next,
                Finish::default(),
            )?;
        }
        Ok(rows.len())
    }

    /// One step of each walk through history. Rows grow with creation time, and nothing finishes before it is created: so a walk from the
    /// oldest rows on ends where creation is younger than what is kept, and no index over ends is needed.
    fn trim_history(&mut self) -> Result<(usize, bool), Fault> {
        let finished = self.books.finished();
        let dead = self.books.dead();
        let (forgotten, more) = self.trim(Kept::Finished, finished.saturating_sub(dead))?;
        let (forgotten_dead, more_dead) = self.trim(Kept::Dead, dead)?;
        Ok((forgotten + forgotten_dead, more || more_dead))
    }

    /// Dead tasks are kept longer than others: the walk over the others begins behind those that lie first and are all that is left there.
    fn trim(&mut self, kept: Kept, tasks: u64) -> Result<(usize, bool), Fault> {
        let (keep_for, at_most) = self.retention.keeps(kept);
        let cutoff = self.now.saturating_sub(keep_for);
        let mut surplus = tasks.saturating_sub(at_most);
        let mut walk = self.walks[kept as usize];
        if kept == Kept::Finished && walk == 0 {
            walk = self.trim_floor;
        }
        let mut floor = if walk == self.trim_floor { Some(walk) } else { None };

        let mut looked_at = 0;
        let mut young = false;
        let mut old = Vec::new();
        {
            let oldest = match kept {
                Kept::Finished => &mut self.sql.oldest_finished,
                Kept::Dead => &mut self.sql.oldest_dead,
            };
            let mut rows = oldest.query((walk, STEP_ROWS))?;
            while let Some(row) = rows.next()? {
                looked_at += 1;
                let (number, finished_at, created_at): (i64, i64, i64) =
                    (row.get(0)?, row.get(1)?, row.get(5)?);
                if surplus == 0 && created_at > cutoff {
                    young = true;
                    break;
                }
                walk = number;
                let state = state(row.get(2)?)?;
                let mine = Kept::of(state) == kept;
                // What can no longer be replayed could block its ordering key for ever.
                let blocks: bool = row.get(6)?;
                let is_old = mine && !blocks && (surplus > 0 || finished_at <= cutoff);
                floor = floor.filter(|_| !mine || is_old).map(|_| number);
                if kept == Kept::Finished {
                    self.trim_floor = floor.unwrap_or(self.trim_floor);
                }
                if is_old {
                    surplus = surplus.saturating_sub(1);
                    let (queue, key): (i64, Option<String>) = (row.get(3)?, row.get(4)?);
                    old.push((number, finished_at, state, queue, key));
                }
            }
        }
        for (row, finished_at, state, queue, key) in &old {
            self.forget(*row, *finished_at, *state, *queue, key.as_deref())?;
        }
        let more = looked_at == STEP && !young;
        // The next sweep begins anew: what was kept for its end may have grown old.
        self.walks[kept as usize] = if more { walk } else { 0 };
        Ok((old.len(), more))
    }

    /// Forgets one finished task, whatever retention says.
    pub(super) fn delete_finished(&mut self, row: i64, queue: i64, state: TaskState) -> Result<(), Fault> {
        let (at, key): (i64, Option<String>) =
            self.sql.finished_key.query_row([row], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.forget(row, at, state, queue, key.as_deref())
    }

    fn forget(
        &mut self,
        row: i64,
        finished_at: i64,
        state: TaskState,
        queue: i64,
        key: Option<&str>,
    ) -> Result<(), Fault> {
        if let Some(key) = key {
            let hash = self.key_hash_of(queue, key)?;
            let expires_at = finished_at.saturating_add(self.retention.keeps_keys());
            self.sql.outlive_key.execute((hash, row, state.number(), expires_at))?;
        }
        self.sql.delete_finished.execute([row])?;
        self.sql.forget_attempts.execute([row])?;
        self.sql.forget_effects.execute([row])?;
        self.books.leave(queue, state);
        Ok(())
    }
}
