//! Numbers for what comes in. They are needed before the transaction, because tasks name what they are about; so they
//! are taken from the store in blocks, and the rest of a block is lost with the process: each number is given once, and
//! not every number is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime::core::store::Store as Rows;
use runtime::prelude::*;
use tokio::sync::Mutex;

use crate::rows::{Columns, number};

/// Numbers taken at once.
const BLOCK: u64 = 1_000;

/// Gives numbers.
#[derive(Default)]
pub(super) struct Numbers {
    /// What is left of the block: from here to, but not including, there.
    block: Mutex<(u64, u64)>,
}

impl Numbers {
    /// A number that was never given before.
    pub(super) async fn next(&self, rows: &Arc<dyn Rows>) -> Result<u64, TaskError> {
        let mut block = self.block.lock().await;
        if block.0 == block.1 {
            *block = take(rows).await?;
        }
        block.0 += 1;
        Ok(block.0 - 1)
    }
}

async fn take(rows: &Arc<dyn Rows>) -> Result<(u64, u64), TaskError> {
    let ends = Arc::new(AtomicU64::new(0));
    let note = ends.clone();
    let write = AppWrite::new(move |tx| {
        let sql = "INSERT INTO numbers (name, next) VALUES ('rows', 1 + ?1)
                   ON CONFLICT DO UPDATE SET next = next + ?1 RETURNING next";
        let row = tx.query(sql, &[number(BLOCK)])?;
        let next = row.first().map_or(Ok(0), |row| row.number(0))?;
        note.store(next, Ordering::Release);
        Ok(())
    });
    rows.write_app(write).await?;
    let ends = ends.load(Ordering::Acquire);
    Ok((ends.saturating_sub(BLOCK), ends))
}
