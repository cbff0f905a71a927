//! Looks at the app's own tables from another process, whether the store has an owner or not.

use std::path::Path;
use std::sync::Arc;

use runtime_core::store::{SqlRow, SqlValue, StoreError};

use super::reader::Readers;

/// A store file that is only looked at: for sub-commands that show the app's rows. It takes no ownership and writes nothing.
pub struct SqliteReader(Readers);

impl SqliteReader {
    /// Opens the file.
    ///
    /// # Errors
    /// [`StoreError`] when there is none, or it is no store.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self(Readers::open(path.to_owned(), Arc::default())?))
    }

    /// Reads the app's tables.
    ///
    /// # Errors
    /// What the database said.
    pub async fn query_app(&self, sql: &str, params: Vec<SqlValue>) -> Result<Vec<SqlRow>, StoreError> {
        let sql = sql.to_owned();
        self.0.read(move |reader, _look| reader.query_app(&sql, &params)).await
    }
}
