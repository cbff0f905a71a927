//! Whether there is room: a store that refused a write for lack of it says so at every sweep, until a look finds room again.
//!
//! Only a look ends it. Near the end of a disk small writes still fit between larger ones that do not, and a store that is full at one moment
//! and well at the next helps nobody who reads its health.

use std::sync::atomic::Ordering;

use runtime_core::store::StoreError;

use super::fault::Fault;
use super::writer::{Shared, Writer};

/// Most that a look writes.
const MOST_BYTES: usize = 1024 * 1024;

impl Shared {
    /// Whether a write was refused for lack of room, and no look has found room since.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }
}

impl Writer<'_> {
    /// A write was refused for lack of room. Whoever sweeps is called, so that it is known at once.
    pub(super) fn note_full(&self) {
        if !self.shared.full.swap(true, Ordering::AcqRel) {
            self.shared.due.notify_one();
        }
    }

    /// Finds out whether a task as large as may be would fit: writes as much, and takes it away again.
    pub(super) fn look_for_room(&mut self) -> Result<(), StoreError> {
        let bytes = i64::try_from(self.limits.max_payload_bytes.min(MOST_BYTES)).unwrap_or(i64::MAX);
        // By chance, so that no file system stores it in less.
        let take =
            format!("INSERT OR REPLACE INTO rt_meta (key, value) VALUES ('room', randomblob({bytes}))");
        for sql in [&*take, "DELETE FROM rt_meta WHERE key = 'room'"] {
            self.write_alone(sql)?;
        }
        self.shared.full.store(false, Ordering::Release);
        tracing::info!("the store has room again");
        Ok(())
    }

    fn write_alone(&mut self, sql: &str) -> Result<(), Fault> {
        let done = self.begin(true).and_then(|()| {
            self.conn.execute(sql, [])?;
            self.commit()
        });
        if done.is_err() {
            self.roll_back();
        }
        done
    }
}
