//! Takes rows of the truth in by the batch, each batch one transaction, and makes the tasks that follow from them.
//!
//! ```text
//! file ─▶ batch ─▶ truth ─▶ … all of them … ─▶ tasks: settle, rollup, recommend
//! ```
//!
//! Rows have numbers. One that is known is passed over when it says the same, so an import that was cut short is simply
//! run again. The tasks come last: a settlement closes its period's books, and a row that came after would be too late.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use runtime::core::store::{EnqueueError, Enqueued, Store as Rows, StoreError};
use runtime::prelude::*;
use storefront_domain::{Category, Period, Product, Rating, Sale, SettlementTerms, Store, StoreId};

use super::LoadError;
use crate::catalogue::Catalogue;
use crate::obligations::Obligations;
use crate::rows::{moment, number, store_of};

/// Rows of one transaction: well within the time that the writer gives an app's write.
pub const BATCH: usize = 4_096;

/// Tasks of one call.
const TASKS: usize = 1_000;

/// Why an import ended before its end. What was written stays, and the import can be run again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The data cannot be read.
    #[error("the data cannot be read")]
    Load(#[from] LoadError),
    /// A batch was refused; nothing of it is written.
    #[error("a batch was refused")]
    Refused(#[from] EnqueueError),
    /// The store fails.
    #[error("the store does not take the tasks")]
    Store(#[from] StoreError),
    /// The shop has a store of this number already, and it is another one.
    #[error("store {store} of the shop is another one than that of the data")]
    OtherStore {
        /// Its number.
        store: StoreId,
    },
    /// The shop's rows, or what follows from them, cannot be written.
    #[error("the shop does not take the rows")]
    Shop(#[from] TaskError),
}

/// What an import found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Rows of the data, new or known.
    pub rows: u64,
    /// Tasks that were made.
    pub tasks: u64,
    /// Tasks that were there already.
    pub known_tasks: u64,
}

/// Takes rows in.
pub struct Importer {
    /// Where they go.
    pub rows: Arc<dyn Rows>,
    /// What follows from them.
    pub obligations: Arc<Obligations>,
}

impl Importer {
    /// Takes sales in, with stores made by `open` for those that are new, then asks for a settlement of every store and
    /// period, and for the sums of every store and day.
    ///
    /// # Errors
    /// [`ImportError`]; also when a number stands for another sale, or a sale comes after its period was settled.
    pub async fn sales(
        &self,
        batches: impl Iterator<Item = Result<Vec<Sale>, LoadError>>,
        open: impl Fn(StoreId) -> Store,
    ) -> Result<Imported, ImportError> {
        let mut done = Imported::default();
        let mut due = Due::default();
        for batch in batches {
            let mut opened = Catalogue::default();
            let dated: Vec<(Sale, Period)> = batch?
                .into_iter()
                .map(|sale| {
                    let (store, terms) = due.stores.entry(sale.store).or_insert_with(|| {
                        let store = open(sale.store);
                        opened.stores.push(store.clone());
                        let terms = self.obligations.terms(&store);
                        (store, terms)
                    });
                    let period = terms.period_of(sale.at, sale.recorded_at);
                    due.periods.insert((sale.store, period));
                    let date = sale.at.to_zoned(store.zone.rules().clone()).date();
                    due.days.entry((sale.store, date)).or_insert(sale.at);
                    (sale, period)
                })
                .collect();
            opened.write(&self.rows).await?;
            for store in &opened.stores {
                if store_of(&self.rows, store.id).await? != *store {
                    return Err(ImportError::OtherStore { store: store.id });
                }
            }
            done.rows += dated.len() as u64;
            self.rows.write_app(write_sales(dated)).await?;
        }
        let Due { stores, periods, days } = &due;
        let settlements = periods.iter().map(|(id, period)| self.obligations.settle(&stores[id].1, *period));
        let sums = days.iter().map(|((id, _), at)| self.obligations.roll_up(&stores[id].0, *at));
        self.enqueue(settlements.chain(sums), &mut done).await?;
        Ok(done)
    }

    /// Takes products and what customers think of them in, then asks for the lists of every category.
    ///
    /// # Errors
    /// [`ImportError`]; also when a number stands for another rating.
    pub async fn ratings(&self, products: &[Product], ratings: &[Rating]) -> Result<Imported, ImportError> {
        let catalogue = Catalogue { products: products.to_vec(), ..Catalogue::default() };
        catalogue.write(&self.rows).await?;
        let numbered: Vec<(u64, Rating)> = (1..).zip(ratings.iter().copied()).collect();
        for ratings in numbered.chunks(BATCH) {
            self.rows.write_app(write_ratings(ratings.to_vec())).await?;
        }
        let mut done = Imported { rows: (products.len() + ratings.len()) as u64, ..Imported::default() };
        let categories: BTreeSet<&Category> =
            products.iter().flat_map(|product| &product.categories).collect();
        let lists = categories.into_iter().map(|category| self.obligations.recommend(category));
        self.enqueue(lists, &mut done).await?;
        Ok(done)
    }

    async fn enqueue(
        &self,
        tasks: impl Iterator<Item = Result<NewTask, TaskError>>,
        done: &mut Imported,
    ) -> Result<(), ImportError> {
        let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
        for tasks in tasks.chunks(TASKS) {
            for answer in self.rows.enqueue(tasks.to_vec()).await? {
                match answer? {
                    Enqueued::Accepted { .. } => done.tasks += 1,
                    _ => done.known_tasks += 1,
                }
            }
        }
        Ok(())
    }
}

/// What has to be settled and added up.
#[derive(Default)]
struct Due {
    stores: BTreeMap<StoreId, (Store, SettlementTerms)>,
    periods: BTreeSet<(StoreId, Period)>,
    /// A moment of each day.
    days: BTreeMap<(StoreId, Date), Timestamp>,
}

fn write_sales(sales: Vec<(Sale, Period)>) -> AppWrite {
    AppWrite::new(move |tx| {
        let mut books: BTreeMap<(StoreId, Period), (String, bool)> = BTreeMap::new();
        for (sale, period) in &sales {
            let (period, closed) = match books.entry((sale.store, *period)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let sql = "SELECT 1 FROM closed_periods WHERE store = ?1 AND period = ?2";
                    let name = period.to_string();
                    let closed = !tx.query(sql, &[number(sale.store.0), name.as_str().into()])?.is_empty();
                    new.insert((name, closed))
                }
            };
            let values = [
                number(sale.id.0),
                number(sale.store.0),
                number(sale.customer.0),
                number(sale.product.0),
                sale.quantity.into(),
                sale.amount.minor.into(),
                moment(sale.at),
                moment(sale.recorded_at),
                period.as_str().into(),
            ];
            let new = insert(
                tx,
                "sales",
                "id, store, customer, product, quantity, amount_minor, at, recorded_at, period",
                &values,
            )?;
            if new && *closed {
                let late =
                    format!("sale {} comes too late: store {} is settled for {period}", sale.id, sale.store);
                return Err(TaskError::permanent(late));
            }
        }
        let most = sales.iter().map(|(sale, _)| sale.id.0).max().unwrap_or(0);
        // What the request path numbers from now on comes after.
        tx.execute(
            "INSERT INTO numbers (name, next) VALUES ('rows', 1 + ?1) ON CONFLICT DO UPDATE SET next = MAX(next, excluded.next)",
            &[number(most)],
        )?;
        Ok(())
    })
}

fn write_ratings(ratings: Vec<(u64, Rating)>) -> AppWrite {
    AppWrite::new(move |tx| {
        for (seq, rating) in &ratings {
            let values = [
                number(*seq),
                number(rating.customer.0),
                number(rating.product.0),
                number(rating.stars.get()),
                moment(rating.at),
            ];
            insert(tx, "ratings", "seq, customer, product, stars, at", &values)?;
        }
        Ok(())
    })
}

/// Inserts a row whose first column is its number; says whether it is new. A known one must say the same.
fn insert(tx: &mut dyn StoreTx, table: &str, columns: &str, values: &[SqlValue]) -> Result<bool, TaskError> {
    let places = (1..=values.len()).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO {table} ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING");
    if tx.execute(&sql, values)? > 0 {
        return Ok(true);
    }
    let sql = format!("SELECT 1 FROM {table} WHERE ({columns}) = ({places})");
    if tx.query(&sql, values)?.is_empty() {
        return Err(TaskError::permanent(format!(
            "number {:?} of {table} stands for another row",
            values[0]
        )));
    }
    Ok(false)
}
