//! How often somebody may: a bucket for each, forgotten once it is full.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use runtime_core::flow::{Bucket, RateLimit, RetryAt};

/// From so many buckets on, those that are full are forgotten.
const MANY: usize = 1_024;

/// Buckets by whom they are for.
pub(super) struct Rates<K>(Mutex<HashMap<K, Bucket>>);

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq> Rates<K> {
    /// Takes one token, by the limit in force.
    ///
    /// # Errors
    /// When there is none: when there will be.
    pub(super) fn take(&self, whose: K, limit: RateLimit, now: Timestamp) -> Result<(), RetryAt> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MANY {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = buckets.entry(whose).or_default();
        *bucket = limit.anchored(*bucket, now);
        *bucket = limit.take(*bucket, now, NonZeroU32::MIN)?;
        Ok(())
    }
}
