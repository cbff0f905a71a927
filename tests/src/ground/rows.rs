//! The app's own rows: one for every job done. Nothing in the schema keeps a job from being there twice.

use std::path::Path;

use runtime::prelude::*;
use runtime_core::store::SqlRow;
use runtime_stores::SqliteReader;

pub(super) const MIGRATIONS: &[AppMigration] = &[AppMigration {
    name: "rows",
    sql: "CREATE TABLE ground_row (n INTEGER NOT NULL, kind TEXT NOT NULL, task TEXT NOT NULL, epoch INTEGER NOT NULL); \
          CREATE TABLE ground_found (file TEXT NOT NULL PRIMARY KEY)",
}];

/// One job that was done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroundRow {
    /// Its number.
    pub n: u64,
    /// `job` or `follow`.
    pub kind: String,
    /// The epoch of the lease under which it was done.
    pub epoch: u64,
}

impl GroundRow {
    /// What reads them all.
    pub const QUERY: &'static str = "SELECT n, kind, epoch FROM ground_row ORDER BY n, kind, epoch";

    /// All rows of a store file, by number; its owner may be at work.
    ///
    /// # Panics
    /// When the file is not there or is no store of the proving ground.
    pub async fn all(file: &Path) -> Vec<Self> {
        let reader = SqliteReader::open(file).expect("the store's file opens for reading");
        let rows = reader.query_app(Self::QUERY, Vec::new()).await.expect("the rows are read");
        rows.iter().map(Self::read).collect()
    }

    /// The row of an answer to [`GroundRow::QUERY`].
    ///
    /// # Panics
    /// When it is another answer.
    pub fn read(row: &SqlRow) -> Self {
        let whole = |index| u64::try_from(row.integer(index).expect("a number")).expect("not negative");
        Self { n: whole(0), kind: row.text(1).expect("a text").to_owned(), epoch: whole(2) }
    }
}
