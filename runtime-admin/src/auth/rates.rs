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
pub(super) struct Rates<K> {
    limit: RateLimit,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Hash + Eq> Rates<K> {
    pub(super) fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// When there is none: when there will be.
    pub(super) fn take(&self, whose: K, now: Timestamp) -> Result<(), RetryAt> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MANY {
            buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        let bucket = buckets.entry(whose).or_default();
        *bucket = self.limit.anchored(*bucket, now);
        *bucket = self.limit.take(*bucket, now, NonZeroU32::MIN)?;
        Ok(())
    }
}
