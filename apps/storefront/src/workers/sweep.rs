//! `sweep`: asks each night for the days that have ended to be added up once more.
//!
//! The request path asks for a day whenever a row of it is written, so a sweep finds nothing to mend as long as nobody loses, cancels or
//! discards such a task. It is made by a schedule: the stretch of time that it looks at stands in its input, from tick to tick
//! without a gap, and what day a store had in it follows from the shop's clock and the store's zone alone.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use runtime::prelude::*;
use storefront_domain::Store;

use crate::business_time::ClockConfig;
use crate::obligations::{Obligations, names};
use crate::rows::{STORES, store_row};

/// A longer stretch is refused: it would make more tasks than one settlement takes well.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 400);

/// A stretch of real time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sweep {
    /// Days that ended after this.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// And not after this.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub until: Timestamp,
}

impl TaskInput for Sweep {
    const KEY: &'static str = "since and until";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("since:{}/until:{}", self.since, self.until))
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Swept {
    /// Days, each of one store.
    pub days: u64,
}

/// Asks for the days of every store.
///
/// # Errors
/// When the stretch makes no sense; a retry when the store fails.
pub async fn sweep(obligations: Arc<Obligations>, ctx: Context, ask: Sweep) -> HandlerResult<Swept> {
    let (after, until) = (obligations.time.at(ask.since), obligations.time.at(ask.until));
    if after >= until || until.duration_since(after) > LONGEST {
        let text = "a sweep begins before it ends, and is no longer than 400 days of business time";
        return Err(TaskError::new(ErrorCode::InvalidInput, text).into());
    }
    let stores = ctx.store().query_app(&format!("{STORES} ORDER BY id"), Vec::new()).await?;
    let stores = stores.iter().map(store_row).collect::<Result<Vec<Store>, TaskError>>()?;
    let mut days = 0;
    for store in stores {
        for date in store.zone.days_ended(after, until) {
            ctx.enqueue(obligations.roll_up_again(store.id, date)?);
            days += 1;
        }
    }
    Ok(Swept { days })
}

/// The schedule that makes them: at half past three on the wall's clock; every business day in compressed time, though not more often
/// than once a second. A missed night is made up for, for as long as a week.
#[must_use]
pub fn nightly(clock: ClockConfig) -> Schedule {
    const DAY_SECS: u32 = 86_400;
    let secs = match clock {
        ClockConfig::Wall => DAY_SECS,
        ClockConfig::Compressed { speed, .. } => (DAY_SECS / speed).max(1),
    };
    let schedule = Schedule::named("nightly-sweep")
        .enqueues(
            names::SWEEP,
            &serde_json::json!({
                "since": FromTick::instant().minus(format!("PT{secs}S")),
                "until": FromTick::instant(),
            }),
        )
        .overlap(OverlapPolicy::AllowAll)
        .catch_up(CatchUpPolicy::All { window_secs: 7 * secs });
    match clock {
        ClockConfig::Wall => schedule.cron("30 3 * * *", "UTC"),
        ClockConfig::Compressed { .. } => schedule.every(Duration::from_secs(secs.into())),
    }
}
