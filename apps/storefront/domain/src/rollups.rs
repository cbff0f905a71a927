//! Sums by the hour, the day and the month of a store.
//!
//! ```text
//! facts ─▶ hour ─▶ day ─▶ month        a day is the sum of its hours, a month of its days
//! ```
//!
//! A fact counts in the bucket in which it happened, however late it comes: it makes that hour, its day and its month
//! dirty ([`dirty_buckets`]), and a dirty bucket is made again from what lies below it. That can be done any number of
//! times. [`Rollups`] is the quicker form that adds a fact where it belongs; it must see each fact once. Both, and a
//! rebuild of everything, give the same. The calendar is that of [`Bucket`], daylight saving included.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::period::Bucket;
use crate::truth::{Refund, Sale, StoreId};
use crate::zone::Zone;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Money taken, in minor units.
    Revenue,
    /// Pieces sold.
    Pieces,
    /// Money given back, in minor units.
    Refunded,
}

impl Metric {
    /// Its name in keys and tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Revenue => "revenue",
            Self::Pieces => "pieces",
            Self::Refunded => "refunded",
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Where.
    pub store: StoreId,
    /// What.
    pub metric: Metric,
    /// How much.
    pub value: i64,
    /// When it happened.
    pub at: Timestamp,
    /// When we learned of it.
    pub recorded_at: Timestamp,
}

impl Fact {
    /// What a sale says: money taken and pieces sold.
    #[must_use]
    pub fn of_sale(sale: &Sale) -> [Self; 2] {
        let Sale { store, at, recorded_at, .. } = *sale;
        let fact = |metric, value| Self { store, metric, value, at, recorded_at };
        [fact(Metric::Revenue, sale.amount.minor), fact(Metric::Pieces, sale.quantity.into())]
    }

    /// What a refund says: money given back.
    #[must_use]
    pub fn of_refund(refund: &Refund) -> Self {
        let Refund { store, at, recorded_at, .. } = *refund;
        Self { store, metric: Metric::Refunded, value: refund.amount.minor, at, recorded_at }
    }

    /// Whether it came after its hour was over, so that the hour may have been rolled up without it.
    #[must_use]
    pub fn is_late(&self, zone: &Zone) -> bool {
        self.recorded_at >= Bucket::hour_of(self.at, zone).ends(zone)
    }
}

/// One cell of the rollups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RollupKey {
    /// Where.
    pub store: StoreId,
    /// What.
    pub metric: Metric,
    /// When.
    pub bucket: Bucket,
}

impl RollupKey {
    /// The cell this one is added up into; none for a month.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        self.bucket.parent().map(|bucket| Self { bucket, ..self })
    }

    /// The cells a fact counts in: its hour, day and month, in this order.
    pub fn of_fact(fact: &Fact, zone: &Zone) -> impl Iterator<Item = Self> + use<> {
        let bucket = Bucket::hour_of(fact.at, zone);
        let hour = Self { store: fact.store, metric: fact.metric, bucket };
        std::iter::successors(Some(hour), |key| key.parent())
    }
}

impl std::fmt::Display for RollupKey {
    /// `store:42/revenue/day:2026-03-29`.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "store:{}/{}/{}", self.store, self.metric.name(), self.bucket)
    }
}

/// What a cell holds. Adding two is commutative and associative, so order never matters. Sums are held in 128 bits:
/// they cannot overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// How many facts.
    pub count: u64,
    /// Their sum.
    pub sum: i128,
    /// The least of them.
    pub least: i64,
    /// The greatest of them.
    pub greatest: i64,
}

impl Total {
    /// The total of a single value.
    #[must_use]
    pub fn of(value: i64) -> Self {
        Self { count: 1, sum: value.into(), least: value, greatest: value }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            least: self.least.min(other.least),
            greatest: self.greatest.max(other.greatest),
        }
    }

    /// All together; `None` of none.
    pub fn of_all(totals: impl IntoIterator<Item = Self>) -> Option<Self> {
        totals.into_iter().reduce(Self::plus)
    }
}

/// The cells that facts make dirty. In the order of the set, for each store and metric, hours come before days and days
/// before months, so that whoever makes them again in that order finds the cells below ready.
#[must_use]
pub fn dirty_buckets<'a>(facts: impl IntoIterator<Item = &'a Fact>, zone: &Zone) -> BTreeSet<RollupKey> {
    facts.into_iter().flat_map(|fact| RollupKey::of_fact(fact, zone)).collect()
}

/// One cell from the truth alone; `None` when no fact counts in it.
#[must_use]
pub fn recompute<'a>(
    key: RollupKey,
    facts: impl IntoIterator<Item = &'a Fact>,
    zone: &Zone,
) -> Option<Total> {
    let (starts, ends) = (key.bucket.starts(zone), key.bucket.ends(zone));
    let inside = |fact: &&Fact| {
        (fact.store, fact.metric) == (key.store, key.metric) && starts <= fact.at && fact.at < ends
    };
    Total::of_all(facts.into_iter().filter(inside).map(|fact| Total::of(fact.value)))
}

/// All cells of some stores of one zone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollups(BTreeMap<RollupKey, Total>);

impl Rollups {
    /// Everything from the truth: hours from facts, days from hours, months from days.
    #[must_use]
    pub fn rebuild<'a>(facts: impl IntoIterator<Item = &'a Fact>, zone: &Zone) -> Self {
        let mut level: BTreeMap<RollupKey, Total> = BTreeMap::new();
        for fact in facts {
            let key =
                RollupKey { store: fact.store, metric: fact.metric, bucket: Bucket::hour_of(fact.at, zone) };
            add(&mut level, key, Total::of(fact.value));
        }
        let mut all = Self::default();
        while !level.is_empty() {
            let mut above = BTreeMap::new();
            for (key, total) in &level {
                if let Some(parent) = key.parent() {
                    add(&mut above, parent, *total);
                }
            }
            all.0.append(&mut level);
            level = above;
        }
        all
    }

    /// Adds a fact that was not added before, however late. Answers the cells it changed.
    pub fn add(&mut self, fact: &Fact, zone: &Zone) -> [RollupKey; 3] {
        let mut keys = RollupKey::of_fact(fact, zone);
        std::array::from_fn(|_| {
            let key = keys.next().expect("a fact counts on three levels");
            add(&mut self.0, key, Total::of(fact.value));
            key
        })
    }

    /// Makes one cell above the hours again from the cells below it.
    pub fn refresh(&mut self, key: RollupKey) {
        let below = self.0.iter().filter(|(child, _)| child.parent() == Some(key)).map(|(_, total)| *total);
        match Total::of_all(below) {
            Some(total) => self.0.insert(key, total),
            None => self.0.remove(&key),
        };
    }

    /// Puts an hour as it was made again from the truth.
    pub fn put(&mut self, key: RollupKey, total: Option<Total>) {
        match total {
            Some(total) => self.0.insert(key, total),
            None => self.0.remove(&key),
        };
    }

    /// What a cell holds; `None` when nothing happened in it.
    #[must_use]
    pub fn get(&self, key: &RollupKey) -> Option<Total> {
        self.0.get(key).copied()
    }

    /// All cells, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&RollupKey, &Total)> {
        self.0.iter()
    }
}

fn add(cells: &mut BTreeMap<RollupKey, Total>, key: RollupKey, total: Total) {
    cells.entry(key).and_modify(|sum| *sum = sum.plus(total)).or_insert(total);
}

#[cfg(test)]
mod tests;
