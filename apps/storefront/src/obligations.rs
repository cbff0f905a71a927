//! Who has to be told what: the tasks that follow from a fact. The request path writes them with the row they belong
//! to; workers write the next one with the settlement of the last.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime::prelude::*;
use storefront_domain::{
    Bucket, Category, Draft, Due, MembershipTerms, Period, PeriodKind, PromotionId, Reservation,
    SettlementTerms, Store, StoreId, Topic,
};

use crate::business_time::BusinessTime;
use crate::config::{NotificationsConfig, StorefrontConfig};
use crate::workers::expire::Expire;
use crate::workers::grace::Grace;
use crate::workers::notify::Notify;
use crate::workers::recommend::Recommend;
use crate::workers::rollup::RollUp;
use crate::workers::settle::Settle;

/// The names of the workers.
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
    /// Days that have ended are asked for once more.
    pub const SWEEP: &str = "sweep";
}

/// The priority of what is refused first when the shop is behind with its work.
const CAN_WAIT: Priority = Priority(1);

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
    /// How long stock is held for a buyer.
    pub hold: SignedDuration,
    /// The lengths of a membership's stretches.
    pub membership: MembershipTerms,
    gather: Duration,
    recommend: Arc<Route>,
    expire: Arc<Route>,
    settle: Arc<Route>,
    grace: Arc<Route>,
    rollup: Arc<Route>,
    notify: Arc<Route>,
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
            hold: SignedDuration::from_mins(config.hold_minutes.get().into()),
            membership: MembershipTerms::default(),
            recommend: setup.route(names::RECOMMEND)?,
            expire: setup.route(names::EXPIRE)?,
            settle: setup.route(names::SETTLE)?,
            grace: setup.route(names::GRACE)?,
            rollup: setup.route(names::ROLLUP)?,
            notify: setup.route(names::NOTIFY)?,
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

    /// A day that has ended is added up once more, unless that waits to be done anyway.
    pub(crate) fn roll_up_again(
        &self,
        store: StoreId,
        date: jiff::civil::Date,
    ) -> Result<NewTask, TaskError> {
        let task = self.roll_up_day(store, date)?;
        Ok(task.unique_within(UniqueWithin::WhileWaiting).on_conflict(OnConflict::Ignore))
    }

    /// The lists of a category are made again, when no further rating of it has come for a while.
    ///
    /// # Errors
    /// When the input is no task.
    pub fn recommend(&self, category: &Category) -> Result<NewTask, TaskError> {
        let task = self.recommend_now(category)?;
        self.gathered(NewTask { priority: CAN_WAIT, ..task })
    }

    /// The same at once, for a rebuild.
    pub(crate) fn recommend_now(&self, category: &Category) -> Result<NewTask, TaskError> {
        Ok(NewTask::of(self.recommend.clone(), &Recommend { category: category.0.clone() })?)
    }

    /// Held stock is given back when the hold is over.
    ///
    /// # Errors
    /// When the input is no task.
    pub fn expire(&self, reservation: &Reservation) -> Result<NewTask, TaskError> {
        let task = NewTask::of(self.expire.clone(), &Expire::of(reservation))?;
        Ok(NewTask { run_at: Some(self.time.run_at(reservation.expires_at)), ..task })
    }

    /// A membership is looked at, because of what happened.
    ///
    /// # Errors
    /// When the input is no task.
    pub fn member(&self, cause: &Grace) -> Result<NewTask, TaskError> {
        Ok(NewTask::of(self.grace.clone(), cause)?)
    }

    /// A membership is looked at when something is due.
    ///
    /// # Errors
    /// When the input is no task.
    pub fn member_due(&self, due: &Due) -> Result<NewTask, TaskError> {
        let task = NewTask::of(self.grace.clone(), &Grace::of(due))?;
        Ok(NewTask { run_at: Some(self.time.run_at(due.at)), ..task })
    }

    /// A customer's drafts of a topic are promoted, when none has come for a while.
    ///
    /// # Errors
    /// When the input is no task.
    pub fn promote(&self, draft: &Draft) -> Result<NewTask, TaskError> {
        let rules = self.notifications.rules();
        let due = rules.next_due([draft], &self.notifications.zone).unwrap_or(draft.at);
        self.promote_at(draft.recipient.0, draft.topic, due)
    }

    /// The same, for drafts that are due at a business moment.
    pub(crate) fn promote_at(
        &self,
        recipient: u64,
        topic: Topic,
        due: Timestamp,
    ) -> Result<NewTask, TaskError> {
        let task = NewTask::of(self.notify.clone(), &Notify::Promote { recipient, topic })?;
        let longest = self.time.takes(self.notifications.rules().longest_wait);
        debounced(task, self.time.run_at(due), longest)
    }

    /// A promotion is sent.
    ///
    /// # Errors
    /// When the input is no task.
    pub fn send(&self, recipient: u64, promotion: &PromotionId) -> Result<NewTask, TaskError> {
        let promotion = promotion.as_str().to_owned();
        Ok(NewTask::of(self.notify.clone(), &Notify::Send { recipient, promotion })?)
    }

    /// Put off for as long as rows gather, though not for ever.
    fn gathered(&self, task: NewTask) -> Result<NewTask, TaskError> {
        let gather = SignedDuration::try_from(self.gather).unwrap_or(SignedDuration::MAX);
        let run_at = self.time.real_now().saturating_add(gather).unwrap_or(Timestamp::MAX);
        debounced(task, run_at, self.gather * 5)
    }
}

fn debounced(task: NewTask, run_at: Timestamp, at_most: Duration) -> Result<NewTask, TaskError> {
    match task.idempotency_key.clone() {
        Some(key) => Ok(task.debounced(key, run_at, at_most)),
        None => Err(TaskError::permanent("a task that gathers needs a key")),
    }
}
