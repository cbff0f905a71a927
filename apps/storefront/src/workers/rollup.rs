//! `rollup`: sums by the hour, the day and the month of a store.
//!
//! The unit of work is a store's day, made again from its rows: hours from rows, the day from its hours, and in the
//! settling transaction the month from its days. A late row asks for its own day again, so nothing here knows what
//! "late" is.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use runtime::core::store::SqlRow;
use runtime::prelude::*;
use storefront_domain::{Bucket, Fact, Metric, RollupKey, Rollups, Store, StoreId, Total};

use crate::obligations::Obligations;
use crate::rows::{Columns, REFUNDS, SALES, moment, number, refund_row, sale_row, store_of, unreadable};
use crate::workers::settle::number_of_scope;

/// One day of one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollUp {
    /// The store's number.
    pub store: u64,
    /// The day, by the store's own calendar.
    #[schemars(with = "String")]
    pub date: Date,
}

impl TaskInput for RollUp {
    const KEY: &'static str = "store and day";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("store:{}/day:{}", self.store, self.date))
    }

    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        Scope::new(format!("store={}", self.store)).map(Some)
    }

    /// Two runs of one day would write what each of them read: the later one must be the one that read later.
    fn ordering_key(&self) -> Result<Option<OrderingKey>, InvalidName> {
        OrderingKey::new(format!("store:{}/day:{}", self.store, self.date)).map(Some)
    }
}

/// What was added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RolledUp {
    /// Rows that count in the day, each for all that it measures.
    pub facts: u64,
    /// Cells of the day and its hours.
    pub cells: u64,
}

/// Adds one day up.
///
/// # Errors
/// A retry when the store fails.
pub async fn roll_up(ctx: Context, ask: RollUp) -> HandlerResult<RolledUp> {
    let store = store_of(ctx.store(), StoreId(ask.store)).await?;
    let facts = facts_of_day(&ctx, &store, ask.date).await?;
    let cells: Vec<(RollupKey, Total)> = Rollups::rebuild(&facts, &store.zone)
        .iter()
        .filter(|(key, _)| !matches!(key.bucket, Bucket::Month { .. }))
        .map(|(key, total)| (*key, *total))
        .collect();
    let done = RolledUp { facts: facts.len() as u64, cells: cells.len() as u64 };
    ctx.write(write_day(store.id, ask.date, cells));
    Ok(done)
}

async fn facts_of_day(ctx: &Context, store: &Store, date: Date) -> Result<Vec<Fact>, TaskError> {
    let day = Bucket::Day { date };
    let (starts, ends) = (day.starts(&store.zone), day.ends(&store.zone));
    let mut facts = Vec::new();
    for select in [SALES, REFUNDS] {
        let sql = format!("{select} AND at >= ?2 AND at < ?3");
        let asked = vec![number(store.id.0), moment(starts), moment(ends)];
        for row in ctx.store().query_app(&sql, asked).await? {
            if select == SALES {
                facts.extend(Fact::of_sale(&sale_row(&row, store.id, store.currency)?));
            } else {
                facts.push(Fact::of_refund(&refund_row(&row, store.id, store.currency)?));
            }
        }
    }
    Ok(facts)
}

fn write_day(store: StoreId, date: Date, cells: Vec<(RollupKey, Total)>) -> AppWrite {
    AppWrite::new(move |tx| {
        let day = [number(store.0), date.to_string().into()];
        tx.execute(
            "DELETE FROM rollup WHERE store = ?1 AND level IN ('hour', 'day') AND starts_on = ?2",
            &day,
        )?;
        for (key, total) in &cells {
            write_cell(tx, key, total)?;
        }
        write_month(tx, store, date.first_of_month())
    })
}

/// The month is the sum of its days, as they stand in this very transaction.
fn write_month(tx: &mut dyn StoreTx, store: StoreId, first: Date) -> Result<(), TaskError> {
    let (from, to) = (first.to_string(), first.last_of_month().to_string());
    let sql = format!("{CELLS} WHERE store = ?1 AND level = 'day' AND starts_on BETWEEN ?2 AND ?3");
    let days = tx.query(&sql, &[number(store.0), from.as_str().into(), to.into()])?;
    let mut month = Rollups::default();
    let mut metrics = BTreeSet::new();
    for (key, total) in days.iter().map(cell_row).collect::<Result<Vec<_>, _>>()? {
        metrics.insert(key.metric);
        month.put(key, Some(total));
    }
    tx.execute(
        "DELETE FROM rollup WHERE store = ?1 AND level = 'month' AND starts_on = ?2",
        &[number(store.0), from.into()],
    )?;
    for metric in metrics {
        let key = RollupKey { store, metric, bucket: Bucket::Month { first } };
        month.refresh(key);
        if let Some(total) = month.get(&key) {
            write_cell(tx, &key, &total)?;
        }
    }
    Ok(())
}

fn write_cell(tx: &mut dyn StoreTx, key: &RollupKey, total: &Total) -> Result<(), TaskError> {
    let (level, starts_on, hour) = match key.bucket {
        Bucket::Hour { date, hour } => ("hour", date, hour),
        Bucket::Day { date } => ("day", date, 0),
        Bucket::Month { first } => ("month", first, 0),
    };
    tx.execute(
        "INSERT INTO rollup (store, level, starts_on, hour, metric, counted, total, least, greatest)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        &[
            number(key.store.0),
            level.into(),
            starts_on.to_string().into(),
            i64::from(hour).into(),
            key.metric.name().into(),
            number(total.count),
            // Sums have 128 bits; an SQLite integer has 64.
            total.sum.to_string().into(),
            total.least.into(),
            total.greatest.into(),
        ],
    )?;
    Ok(())
}

/// All cells, with the condition to come.
pub(crate) const CELLS: &str =
    "SELECT store, level, starts_on, hour, metric, counted, total, least, greatest FROM rollup";

/// A row of [`CELLS`].
pub(crate) fn cell_row(row: &SqlRow) -> Result<(RollupKey, Total), TaskError> {
    let date: Date = row.text(2)?.parse().map_err(unreadable)?;
    let hour = u8::try_from(row.integer(3)?).map_err(unreadable)?;
    let bucket = match row.text(1)? {
        "hour" => Bucket::Hour { date, hour },
        "day" => Bucket::Day { date },
        _ => Bucket::Month { first: date },
    };
    let metric: Metric = row.named(4)?;
    let total = Total {
        count: row.number(5)?,
        sum: row.text(6)?.parse().map_err(unreadable)?,
        least: row.integer(7)?,
        greatest: row.integer(8)?,
    };
    Ok((RollupKey { store: StoreId(row.number(0)?), metric, bucket }, total))
}

/// Makes the rollups of a store again.
pub struct RollUpAgain {
    /// Makes the tasks.
    pub obligations: Arc<Obligations>,
}

#[async_trait]
impl Rebuild for RollUpAgain {
    async fn plan(&self, ask: RebuildAsk) -> Result<RebuildPlan, TaskError> {
        let store = store_of(&ask.store, StoreId(number_of_scope(&ask.scope, "store")?)).await?;
        let mut days = BTreeSet::new();
        for table in ["sales", "refunds"] {
            let sql = format!("SELECT at FROM {table} WHERE store = ?1 AND at >= ?2 AND at < ?3");
            let (since, until) = (
                ask.since.map_or(i64::MIN, |at| at.as_millisecond()),
                ask.until.map_or(i64::MAX, |at| at.as_millisecond()),
            );
            for row in ask.store.query_app(&sql, vec![number(store.id.0), since.into(), until.into()]).await?
            {
                if let Bucket::Hour { date, .. } = Bucket::hour_of(row.moment(0)?, &store.zone) {
                    days.insert(date);
                }
            }
        }
        let tasks = days
            .iter()
            .map(|date| self.obligations.roll_up_day(store.id, *date))
            .collect::<Result<_, _>>()?;
        let discard = AppWrite::new(move |tx| {
            for date in &days {
                let of_day = [number(store.id.0), date.to_string().into()];
                tx.execute(
                    "DELETE FROM rollup WHERE store = ?1 AND level IN ('hour', 'day') AND starts_on = ?2",
                    &of_day,
                )?;
                let of_month = [number(store.id.0), date.first_of_month().to_string().into()];
                tx.execute(
                    "DELETE FROM rollup WHERE store = ?1 AND level = 'month' AND starts_on = ?2",
                    &of_month,
                )?;
            }
            Ok(())
        });
        Ok(RebuildPlan { discard: vec![discard], tasks })
    }
}
