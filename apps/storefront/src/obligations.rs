//! Who has to be told what: the tasks that follow from a fact. The request path writes them with the row they belong
//! to; workers write the next one with the settlement of the last.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime::prelude::*;
use storefront_domain::{Bucket, Period, PeriodKind, SettlementTerms, Store, StoreId};

use crate::business_time::BusinessTime;
use crate::config::{NotificationsConfig, StorefrontConfig};
use crate::workers::rollup::RollUp;
use crate::workers::settle::Settle;

/// The names of the six workers.
pub mod names {
    /// Who liked this liked that.
    pub const RECOMMEND: &str = "recommend";
    /// Stock that was held too long is free again.
    pub const EXPIRE: &str = "expire";
    /// What a store is paid.
    pub const SETTLE: &str = "settle";
    /// What happens when a member does not pay.
    pub const GRACE: &str = "grace";
    /// Sums by hour, day and month.
    pub const ROLLUP: &str = "rollup";
    /// Drafts become letters.
    pub const NOTIFY: &str = "notify";
}

/// Makes tasks. Shared by the request path and the workers.
pub struct Obligations {
    /// The shop's clock.
    pub time: BusinessTime,
    /// How often stores are paid.
    pub every: PeriodKind,
    /// How long a period stays open after its end.
    pub closing: SignedDuration,
    /// How customers are told something.
    pub notifications: NotificationsConfig,
    gather: Duration,
    settle: Arc<Route>,
    rollup: Arc<Route>,
}

impl Obligations {
    /// The obligations of a shop of this configuration.
    ///
    /// # Errors
    /// Never for the names of this crate.
    pub fn new(config: &StorefrontConfig, setup: &Setup) -> Result<Self, SetupError> {
        Ok(Self {
            time: config.time(),
            every: config.settlements.every.into(),
            closing: SignedDuration::from_hours(config.settlements.closing_hours.into()),
            notifications: config.notifications.clone(),
            gather: Duration::from_millis(config.gather_ms.get()),
            settle: setup.route(names::SETTLE)?,
            rollup: setup.route(names::ROLLUP)?,
        })
    }

    /// The terms of a store.
    #[must_use]
    pub fn terms(&self, store: &Store) -> SettlementTerms {
        SettlementTerms::of(store, self.every, self.closing)
    }

    /// A store is paid for a period, once that is closed.
    ///
    /// # Errors
    /// When the input is no task.
    pub fn settle(&self, terms: &SettlementTerms, period: Period) -> Result<NewTask, TaskError> {
        let task = NewTask::of(self.settle.clone(), &Settle::of(terms.store, period))?;
        Ok(NewTask { run_at: Some(self.time.run_at(terms.closes_at(period))), ..task })
    }

    /// A day of a store is added up, when no further row of it has come for a while.
    ///
    /// # Errors
    /// When the input is no task.
    pub fn roll_up(&self, store: &Store, at: Timestamp) -> Result<NewTask, TaskError> {
        let Bucket::Hour { date, .. } = Bucket::hour_of(at, &store.zone) else {
            return Err(TaskError::permanent("an hour has a date"));
        };
        self.gathered(NewTask::of(self.rollup.clone(), &RollUp { store: store.id.0, date })?)
    }

    /// The same day again, for a rebuild.
    pub(crate) fn roll_up_day(&self, store: StoreId, date: jiff::civil::Date) -> Result<NewTask, TaskError> {
        Ok(NewTask::of(self.rollup.clone(), &RollUp { store: store.0, date })?)
    }

    /// Put off for as long as rows gather, though not for ever.
    fn gathered(&self, task: NewTask) -> Result<NewTask, TaskError> {
        let gather = SignedDuration::try_from(self.gather).unwrap_or(SignedDuration::MAX);
        let run_at = self.time.real_now().saturating_add(gather).unwrap_or(Timestamp::MAX);
        match task.idempotency_key.clone() {
            Some(key) => Ok(task.debounced(key, run_at, self.gather * 5)),
            None => Err(TaskError::permanent("a task that gathers needs a key")),
        }
    }
}
