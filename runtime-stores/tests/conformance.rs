//! Every back end passes the same suite.

use std::sync::Arc;

use async_trait::async_trait;
use runtime_core::store::{Store, StoreError};
use runtime_stores::suite::{Backend, Setup};
use runtime_stores::{MemoryStore, SqliteOptions, SqliteStore};
use tempfile::TempDir;

struct Memory;

#[async_trait]
impl Backend for Memory {
    async fn open(&mut self, setup: &Setup) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(MemoryStore::with_retention(setup.clock.clone(), setup.limits, setup.retention)))
    }
}

struct Sqlite(TempDir);

impl Sqlite {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for the store"))
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn open(&mut self, setup: &Setup) -> Result<Arc<dyn Store>, StoreError> {
        let path = self.0.path().join("store.db");
        let mut options = SqliteOptions::new(path, setup.instance.clone(), setup.clock.clone());
        (options.limits, options.retention) = (setup.limits, setup.retention);
        options.app_write_deadline = std::time::Duration::from_millis(300);
        Ok(Arc::new(SqliteStore::open(options)?))
    }
}

runtime_stores::conformance!(memory, Memory);
runtime_stores::conformance!(sqlite, Sqlite::new());
