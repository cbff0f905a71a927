//! The store that the configuration names, opened in its folder and brought to the app's tables.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use runtime_core::clock::Clock;
use runtime_core::limits::StoreLimits;
use runtime_core::name::InstanceName;
use runtime_core::store::{Capability, Store, StoreError};
use runtime_stores::{MemoryStore, Retention, SqliteOptions, SqliteStore, Synchronous as SqliteSynchronous};

use super::{StartError, system};
use crate::app::Assembled;
use crate::config::{RuntimeConfig, StoreConfig, StoreKind, Synchronous};

/// Of the data folder, where there was none.
const FOLDER_MODE: u32 = 0o700;

/// The store in its folder, with the tables of the app.
pub(super) async fn open_migrated<A>(
    config: &RuntimeConfig<A>,
    Assembled { plan, migrations }: &Assembled,
    instance: &InstanceName,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<dyn Store>, &'static str), StartError> {
    let data_dir = &config.runtime.data_dir;
    // For its user alone: letters and exports may lie beside the store.
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(data_dir)
        .map_err(system(format!("the data folder {} cannot be made", data_dir.display())))?;
    let (store, store_name) = open_store(&config.store, config.store_path(), instance, clock)?;
    if !migrations.is_empty() {
        let failed = |source| StartError::Store { path: config.store_path(), source };
        if !store.capabilities().contains(&Capability::AppWrites) {
            return Err(failed(StoreError::CapabilityMissing(Capability::AppWrites)));
        }
        store.migrate_app(plan.name.clone(), migrations).await.map_err(failed)?;
    }
    Ok((store, store_name))
}

fn open_store(
    config: &StoreConfig,
    path: PathBuf,
    instance: &InstanceName,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<dyn Store>, &'static str), StartError> {
    let limits = StoreLimits {
        max_payload_bytes: config.max_payload_bytes.get(),
        queue_capacity: config.queue_capacity.get(),
        ..StoreLimits::default()
    };
    match config.kind {
        StoreKind::Memory => {
            Ok((Arc::new(MemoryStore::with_retention(clock.clone(), limits, config.retention())), "memory"))
        }
        StoreKind::Sqlite => {
            let options = SqliteOptions {
                limits,
                synchronous: match config.synchronous {
                    Synchronous::Full => SqliteSynchronous::Full,
                    Synchronous::NormalMayLoseAcknowledgedTasks => {
                        SqliteSynchronous::NormalLosesLastCommitsOnPowerCut
                    }
                },
                retention: config.retention(),
                ..SqliteOptions::new(path.clone(), instance.clone(), clock.clone())
            };
            let store = SqliteStore::open(options).map_err(|source| StartError::Store { path, source })?;
            Ok((Arc::new(store), "sqlite"))
        }
    }
}

impl StoreConfig {
    /// How long what is finished is kept.
    pub(crate) fn retention(&self) -> Retention {
        let days = |days: u32| Duration::from_hours(24 * u64::from(days));
        Retention {
            keep_finished_for: days(self.history_retention_days),
            keep_dead_for: days(self.dead_letter_retention_days),
            keep_dead_at_most: self.dead_letters_at_most,
            keep_keys_for: days(self.key_retention_days),
            keep_audit_for: days(self.audit_retention_days),
            keep_audit_at_most: self.audit_entries_at_most,
            ..Retention::default()
        }
    }
}
