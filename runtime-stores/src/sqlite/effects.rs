//! The ledger of effects, the outbox, and what operators want of nodes.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use runtime_core::event::StoredEvent;
use runtime_core::name::StepName;
use runtime_core::node::{DesiredState, NodePath};
use runtime_core::store::{
    ContentHash, DesiredStates, EffectBegun, EffectClass, EffectLedger, Outbox, Resized, StoreError,
};
use runtime_core::task::Lease;
use rusqlite::OptionalExtension;

use super::SqliteStore;
use super::fault::Fault;
use super::writer::{Writer, row_of};

#[async_trait]
impl EffectLedger for SqliteStore {
    async fn begin_effect(
        &self,
        lease: Lease,
        step: StepName,
        class: EffectClass,
        content: ContentHash,
    ) -> Result<EffectBegun, StoreError> {
        self.write((lease, step, class, content), |writer, asked| writer.begin_effect(asked)).await
    }

    async fn record_effect(
        &self,
        lease: Lease,
        step: StepName,
        content: ContentHash,
        result: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.write((lease, step, content, result), |writer, asked| writer.record_effect(asked)).await
    }

    async fn withdraw_effect(&self, lease: Lease, step: StepName) -> Result<bool, StoreError> {
        self.write((lease, step), |writer, asked| writer.withdraw_effect(asked)).await
    }
}

#[async_trait]
impl Outbox for SqliteStore {
    async fn unrelayed(&self, limit: usize) -> Result<Vec<StoredEvent>, StoreError> {
        self.0.readers.read(move |reader, look| reader.unrelayed(look, limit)).await
    }

    async fn relayed(&self, position: u64) -> Result<(), StoreError> {
        self.write(position, |writer, asked| writer.relayed(*asked)).await
    }
}

#[async_trait]
impl DesiredStates for SqliteStore {
    async fn desired(&self) -> Result<Vec<(NodePath, DesiredState)>, StoreError> {
        self.0.readers.read(|reader, _| reader.desired()).await
    }

    async fn set_desired(&self, paths: Vec<NodePath>, desired: DesiredState) -> Result<(), StoreError> {
        self.command((paths, desired), |writer, asked| writer.set_desired(asked)).await
    }

    async fn resized(&self) -> Result<Vec<Resized>, StoreError> {
        self.0.readers.read(|reader, _| reader.resized()).await
    }

    async fn set_slots(&self, path: NodePath, slots: Option<NonZeroUsize>) -> Result<(), StoreError> {
        self.command((path, slots), |writer, (path, slots)| writer.set_slots(path, *slots)).await
    }
}

impl Writer<'_> {
    fn begin_effect(
        &mut self,
        (lease, step, class, content): &(Lease, StepName, EffectClass, ContentHash),
    ) -> Result<EffectBegun, Fault> {
        if self.leased(*lease)?.is_none() {
            return Ok(EffectBegun::Stale);
        }
        let row = row_of(lease.task);
        let known = self
            .sql
            .find_effect
            .query_row((row, step.as_str()), |row| {
                Ok((row.get::<_, ContentHash>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
            })
            .optional()?;
        Ok(match known {
            Some((known_content, _)) if known_content != *content => EffectBegun::Conflict,
            Some((_, Some(result))) => EffectBegun::Known { result },
            Some((_, None)) => EffectBegun::Unknown,
            None => {
                if *class == EffectClass::Unkeyed {
                    self.sql.insert_effect.execute((row, step.as_str(), content, None::<Vec<u8>>))?;
                }
                EffectBegun::Fresh
            }
        })
    }

    fn record_effect(
        &mut self,
        (lease, step, content, result): &(Lease, StepName, ContentHash, Vec<u8>),
    ) -> Result<bool, Fault> {
        if self.leased(*lease)?.is_none() {
            return Ok(false);
        }
        self.sql.insert_effect.execute((row_of(lease.task), step.as_str(), content, Some(result)))?;
        Ok(true)
    }

    fn withdraw_effect(&mut self, (lease, step): &(Lease, StepName)) -> Result<bool, Fault> {
        if self.leased(*lease)?.is_none() {
            return Ok(false);
        }
        self.sql.withdraw_effect.execute((row_of(lease.task), step.as_str()))?;
        Ok(true)
    }

    fn relayed(&mut self, position: u64) -> Result<(), Fault> {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        self.conn.prepare_cached("DELETE FROM rt_outbox WHERE position <= ?1")?.execute([position])?;
        Ok(())
    }

    fn set_desired(&mut self, (paths, desired): &(Vec<NodePath>, DesiredState)) -> Result<(), Fault> {
        let sql = "INSERT INTO rt_desired (path, state) VALUES (?1, ?2) ON CONFLICT (path) DO UPDATE SET state = excluded.state";
        let mut set = self.conn.prepare_cached(sql)?;
        for path in paths {
            set.execute((path.as_str(), desired.as_str()))?;
        }
        Ok(())
    }

    fn set_slots(&mut self, path: &NodePath, slots: Option<NonZeroUsize>) -> Result<(), Fault> {
        let Some(slots) = slots else {
            let sql = "DELETE FROM rt_resized WHERE path = ?1";
            self.conn.prepare_cached(sql)?.execute([path.as_str()])?;
            return Ok(());
        };
        let sql = "INSERT INTO rt_resized (path, slots, since) VALUES (?1, ?2, ?3) \
                   ON CONFLICT (path) DO UPDATE SET slots = excluded.slots, since = excluded.since";
        let slots = i64::try_from(slots.get()).unwrap_or(i64::MAX);
        self.conn.prepare_cached(sql)?.execute((path.as_str(), slots, self.now))?;
        Ok(())
    }
}
