//! Sales and refunds.

use runtime::prelude::*;
use serde_json::json;
use storefront_domain::{Period, Store, StoreId};

use super::{Asked, Desk, is_there};
use crate::http::answer::{Answer, Refusal};
use crate::http::form::Form;
use crate::rows::{Columns, STORES, moment, number, store_row};

/// How often a row looks for an open period: each time, the one before was closed in between.
const TRIES: usize = 3;

/// A row that counts in a settlement: the period was open when the request came, and must be still when it is written.
fn still_open(tx: &mut dyn StoreTx, store: StoreId, period: &Period) -> Result<(), Refusal> {
    let sql = "SELECT 1 FROM closed_periods WHERE store = ?1 AND period = ?2";
    let closed = tx.query(sql, &[number(store.0), period.to_string().into()])?;
    if closed.is_empty() { Ok(()) } else { Err(Refusal::PeriodClosed) }
}

impl Desk {
    /// `POST /sales`.
    pub(crate) async fn sale(&self, asked: &Asked, mut form: Form) -> Result<Answer, Refusal> {
        let store = form.number("store")?;
        let (customer, product) = (form.number("customer")?, form.number("product")?);
        let quantity = form.whole("quantity", 1, 1_000)?;
        let amount = form.whole("amount_minor", 0, 1_000_000_000_000)?;
        let at = form.at(self.now())?;
        form.end()?;
        let store = self.store(store).await?;
        let id = self.number().await?;
        for _ in 0..TRIES {
            let now = self.now();
            let terms = self.obligations.terms(&store);
            let period = terms.period_of(at, now);
            let tasks = vec![self.obligations.settle(&terms, period)?, self.obligations.roll_up(&store, at)?];
            let store = store.id;
            let taken = self
                .commit(asked, tasks, move |tx| {
                    still_open(tx, store, &period)?;
                    if !is_there(tx, "SELECT 1 FROM customers WHERE id = ?1", customer)? {
                        return Err(Refusal::field("customer", "is nobody's number"));
                    }
                    if !is_there(tx, "SELECT 1 FROM products WHERE id = ?1", product)? {
                        return Err(Refusal::field("product", "is no product's number"));
                    }
                    tx.execute(
                        "INSERT INTO sales (id, store, customer, product, quantity, amount_minor, at, recorded_at, period)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                        &[
                            number(id),
                            number(store.0),
                            number(customer),
                            number(product),
                            number(quantity),
                            number(amount),
                            moment(at),
                            moment(now),
                            period.to_string().into(),
                        ],
                    )?;
                    Ok(Answer::created(json!({ "sale": id })))
                })
                .await;
            if taken != Err(Refusal::PeriodClosed) {
                return taken;
            }
        }
        Err(Refusal::PeriodClosed)
    }

    /// `POST /refunds`.
    pub(crate) async fn refund(&self, asked: &Asked, mut form: Form) -> Result<Answer, Refusal> {
        let sale = form.number("sale")?;
        let amount = form.whole("amount_minor", 1, 1_000_000_000_000)?;
        let at = form.at(self.now())?;
        form.end()?;
        let sql = "SELECT store, amount_minor, at FROM sales WHERE id = ?1";
        let found = self.rows.query_app(sql, vec![number(sale)]).await?;
        let row = found.first().ok_or_else(|| Refusal::field("sale", "is no sale's number"))?;
        let (store, sold, sold_at) = (row.number(0)?, row.number(1)?, row.moment(2)?);
        if at < sold_at {
            return Err(Refusal::field("at", "lies before the sale"));
        }
        let store = self.store(store).await?;
        let id = self.number().await?;
        for _ in 0..TRIES {
            let now = self.now();
            let terms = self.obligations.terms(&store);
            let period = terms.period_of(at, now);
            let tasks = vec![self.obligations.settle(&terms, period)?, self.obligations.roll_up(&store, at)?];
            let store = store.id;
            let taken = self
                .commit(asked, tasks, move |tx| {
                    still_open(tx, store, &period)?;
                    let sql = "SELECT COALESCE(SUM(amount_minor), 0) FROM refunds WHERE sale = ?1";
                    let before = tx.query(sql, &[number(sale)])?;
                    let before = before.first().map_or(Ok(0), |row| row.number(0))?;
                    if before + amount > sold {
                        let left = sold.saturating_sub(before);
                        return Err(Refusal::field(
                            "amount_minor",
                            format!("is more than the {left} that are left of the sale"),
                        ));
                    }
                    tx.execute(
                        "INSERT INTO refunds (id, sale, store, amount_minor, at, recorded_at, period)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                        &[
                            number(id),
                            number(sale),
                            number(store.0),
                            number(amount),
                            moment(at),
                            moment(now),
                            period.to_string().into(),
                        ],
                    )?;
                    Ok(Answer::created(json!({ "refund": id })))
                })
                .await;
            if taken != Err(Refusal::PeriodClosed) {
                return taken;
            }
        }
        Err(Refusal::PeriodClosed)
    }

    async fn store(&self, store: u64) -> Result<Store, Refusal> {
        let found = self.rows.query_app(&format!("{STORES} WHERE id = ?1"), vec![number(store)]).await?;
        let row = found.first().ok_or_else(|| Refusal::field("store", "is no store's number"))?;
        Ok(store_row(row)?)
    }
}
