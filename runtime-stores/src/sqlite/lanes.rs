//! Leases of a queue that has lanes. A lane is a text in the row of each of its tasks; the index of ready tasks holds them lane by lane,
//! so that the lanes in use are found by one step each, and the first tasks of one by reading on.
//!
//! How many of a lane are under way is in the books, since nobody else grants; its bucket is in the file and written in the
//! transaction that grants, so that no crash gives a token twice.

use std::num::NonZeroU32;
use std::sync::PoisonError;

use jiff::Timestamp;
use runtime_core::flow::{Bucket, LaneLimits};
use runtime_core::name::{FlowKey, Scope, Tenant};
use runtime_core::store::LaneBy;
use runtime_core::task::LeasedTask;
use rusqlite::OptionalExtension;

use super::columns;
use super::fault::Fault;
use super::lease::Terms;
use super::writer::Writer;
use crate::lanes::{self, InLine, LANES_PER_ASK, Lane, NEXT_LOOK};

/// Rows of one step when tasks get their lanes anew.
const STEP: usize = 1_000;

impl Writer<'_> {
    pub(super) fn lease_lanes(&mut self, up_to: usize, terms: Terms) -> Result<Vec<LeasedTask>, Fault> {
        let fair = self.policies.of(terms.queue).limits.fair;
        let now = self.timestamp()?;
        let after = self.turns.entry(terms.queue).or_default().after.clone();
        let (looked_at, complete) = self.lanes_after(terms.queue, after.as_ref())?;
        let looked_to = looked_at.last().cloned();
        let mut lanes = Vec::with_capacity(looked_at.len());
        for key in looked_at {
            lanes.push(self.look_at_lane(terms.queue, key, up_to, now)?);
        }
        lanes.sort_unstable_by(|a, b| a.key.cmp(&b.key));

        let (counts, last) = lanes::decide(fair, &lanes, up_to, after.as_ref(), now);
        let mut granted = Vec::with_capacity(lanes.len());
        let mut next_at = None;
        for (lane, count) in lanes.iter().zip(counts) {
            let mut tasks = Vec::with_capacity(count);
            for in_line in lane.first.iter().take(count) {
                if let Some((task, _)) = self.read_ready(in_line.row, terms.queue)? {
                    tasks.extend(self.grant(task, Some(&lane.key), terms)?);
                }
            }
            let weights: Vec<NonZeroU32> = tasks.iter().map(|leased| leased.task.weight).collect();
            let told = self.charge(terms.queue, lane, count, &weights, now)?;
            next_at = next_at.into_iter().chain(told).min();
            granted.push(tasks);
        }
        let granted = lanes::interleave(granted);
        if !complete && granted.len() < up_to {
            next_at = next_at.into_iter().chain(now.checked_add(NEXT_LOOK).ok()).min();
        }
        let turn = self.turns.entry(terms.queue).or_default();
        if complete {
            turn.after = last.map(|last| lanes[last].key.clone()).or(after);
        } else {
            turn.after = looked_to;
        }
        self.come_at(terms.queue, next_at)?;
        Ok(granted)
    }

    /// Limits hold tasks back until then: those who ask are woken, and whoever looks is told, which needs no commit.
    fn come_at(&mut self, queue: i64, at: Option<Timestamp>) -> Result<(), Fault> {
        let Some(at) = at else { return Ok(()) };
        self.books.due_changed |= self.turns.entry(queue).or_default().come_at(at);
        let name = self.shared.names().queue(queue)?.clone();
        self.shared.limited.write().unwrap_or_else(PoisonError::into_inner).insert(name, at);
        Ok(())
    }

    /// Whether the limits of its lane, if it has one, let a task of this weight start. Who waits for a rate is told when to come again.
    pub(super) fn has_room(
        &mut self,
        queue: i64,
        key: Option<&FlowKey>,
        weight: NonZeroU32,
    ) -> Result<bool, Fault> {
        let Some(key) = key else { return Ok(true) };
        let now = self.timestamp()?;
        let lane = self.look_at_lane(queue, key.clone(), 0, now)?;
        let (room, next_at) = lanes::room_for(&lane, weight, now);
        self.come_at(queue, next_at)?;
        Ok(room)
    }

    /// One task of a lane was granted past the others.
    pub(super) fn charge_one(&mut self, queue: i64, key: &FlowKey, weight: NonZeroU32) -> Result<(), Fault> {
        let now = self.timestamp()?;
        let lane = self.look_at_lane(queue, key.clone(), 0, now)?;
        self.charge(queue, &lane, 0, &[weight], now).map(drop)
    }

    /// Lanes with ready tasks, from the one after `after` on and round, and whether these are all.
    fn lanes_after(&mut self, queue: i64, after: Option<&FlowKey>) -> Result<(Vec<FlowKey>, bool), Fault> {
        let mut found: Vec<FlowKey> = Vec::new();
        let start = after.map_or("", FlowKey::as_str);
        let mut wrapped = start.is_empty();
        let mut last = start.to_owned();
        while found.len() < LANES_PER_ASK {
            let next: Option<String> =
                self.sql.next_lane.query_row((queue, &last), |row| row.get(0)).optional()?;
            match next {
                Some(key) if wrapped && !start.is_empty() && key.as_str() > start => {
                    return Ok((found, true));
                }
                Some(key) => {
                    found.push(FlowKey::new(&key).map_err(|error| Fault::corrupt(error.to_string()))?);
                    last = key;
                }
                None if wrapped => return Ok((found, true)),
                None => {
                    wrapped = true;
                    last = String::new();
                }
            }
        }
        Ok((found, false))
    }

    fn look_at_lane(
        &mut self,
        queue: i64,
        key: FlowKey,
        up_to: usize,
        now: Timestamp,
    ) -> Result<Lane, Fault> {
        let limits = self.policies.of(queue).limits_of(&key);
        let bucket = match limits.rate {
            Some(rate) => {
                let kept: Option<i64> =
                    self.sql.find_bucket.query_row((queue, key.as_str()), |row| row.get(0)).optional()?;
                let kept = kept.map_or(Bucket::FULL, Bucket::from_nanos);
                let anchored = rate.anchored(kept, now);
                if anchored != kept {
                    self.keep_bucket(queue, &key, anchored)?;
                }
                anchored
            }
            None => Bucket::FULL,
        };
        let leased = self.books.in_lane(queue, &key);
        let useful = lanes::most_useful(&limits, leased, bucket, up_to, now);
        let first = if useful > 0 { self.first_of_lane(&limits, queue, &key, useful)? } else { Vec::new() };
        Ok(Lane { key, limits, first, leased, bucket })
    }

    /// The first ready tasks of a lane that may run beside others.
    fn first_of_lane(
        &mut self,
        limits: &LaneLimits,
        queue: i64,
        key: &FlowKey,
        useful: usize,
    ) -> Result<Vec<InLine>, Fault> {
        let suspects: Vec<i64> = self.books.suspects(queue).collect();
        let limit = i64::try_from(useful.saturating_add(suspects.len())).unwrap_or(i64::MAX);
        let weighed = limits.rate.is_some();
        let select = if weighed { &mut self.sql.first_of_lane_weighed } else { &mut self.sql.first_of_lane };
        let mut first = Vec::new();
        let mut rows = select.query((queue, key.as_str(), limit))?;
        while let Some(row) = rows.next()? {
            let weight = if weighed { columns::weight(row.get(2)?)? } else { NonZeroU32::MIN };
            let in_line = InLine { rank: row.get(0)?, row: row.get(1)?, weight };
            if first.len() < useful && !suspects.contains(&in_line.row) {
                first.push(in_line);
            }
        }
        Ok(first)
    }

    fn charge(
        &mut self,
        queue: i64,
        lane: &Lane,
        tried: usize,
        granted: &[NonZeroU32],
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Fault> {
        let (bucket, next_at) = lanes::charge(lane, tried, granted, now);
        if bucket != lane.bucket {
            self.keep_bucket(queue, &lane.key, bucket)?;
        }
        Ok(next_at)
    }

    fn keep_bucket(&mut self, queue: i64, key: &FlowKey, bucket: Bucket) -> Result<(), Fault> {
        self.sql.keep_bucket.execute((queue, key.as_str(), bucket.as_nanos()))?;
        Ok(())
    }

    /// Wakes queues whose lanes were told to come again. Returns when the next of them is due.
    pub(super) fn wake_lanes(&mut self) -> Result<Option<i64>, Fault> {
        let now = self.timestamp()?;
        for (queue, turn) in &mut self.turns {
            if turn.is_due(now) {
                self.books.wake(*queue);
            }
        }
        let next = self.turns.values().filter_map(|turn| turn.next_at).min();
        Ok(next.map(crate::content::millis_up))
    }

    /// A task that came back from history gets the lane it has by now.
    pub(super) fn find_lane(&mut self, row: i64, queue: i64) -> Result<(), Fault> {
        let Some(by) = self.policies.of(queue).lanes.clone() else { return Ok(()) };
        let lane = {
            let names = self.shared.names();
            let mut rows = self.sql.whole_task.query([row])?;
            let Some(row) = rows.next()? else { return Ok(()) };
            let task = columns::task(row, &names, self.salt)?;
            by.lane(task.tenant.as_ref(), task.scope.as_ref(), &task.payload)
        };
        self.sql.set_lane.execute((row, lane.as_str()))?;
        Ok(())
    }

    /// Every live task of a queue gets its lane anew: one pass over all live tasks, a bounded number at a time in memory.
    pub(super) fn lane_anew(&mut self, queue: i64, by: Option<&LaneBy>) -> Result<(), Fault> {
        let mut select = self.conn.prepare_cached(
            "SELECT row, tenant, scope, payload, lane FROM rt_task WHERE queue = ?1 AND row > ?2 ORDER BY row LIMIT ?3",
        )?;
        let step = i64::try_from(STEP).unwrap_or(i64::MAX);
        let mut last = 0;
        loop {
            let mut changed = Vec::new();
            let mut read = 0;
            let mut rows = select.query((queue, last, step))?;
            while let Some(row) = rows.next()? {
                read += 1;
                last = row.get(0)?;
                let tenant = columns::name::<Tenant>(row, 1)?;
                let scope = columns::name::<Scope>(row, 2)?;
                let payload =
                    row.get_ref(3)?.as_bytes().map_err(|error| Fault::corrupt(error.to_string()))?;
                let lane = by.map(|by| by.lane(tenant.as_ref(), scope.as_ref(), payload));
                let before: Option<String> = row.get(4)?;
                if lane.as_ref().map(FlowKey::as_str) != before.as_deref() {
                    changed.push((last, lane));
                }
            }
            for (row, lane) in changed {
                self.sql.set_lane.execute((row, lane.as_ref().map(FlowKey::as_str)))?;
                if self.books.held(row).is_some() {
                    self.books.run_in_lane(row, lane.map(|lane| (queue, lane)));
                }
            }
            if read < STEP {
                return Ok(());
            }
        }
    }
}
