//! Between rows and the domain's values.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use runtime::core::store::{SqlRow, Store as Rows};
use runtime::prelude::*;
use storefront_domain::{
    BasisPoints, Currency, CustomerId, Money, Period, PeriodKind, ProductId, Refund, RefundId, Sale, SaleId,
    Store, StoreId, Zone,
};

/// A number as the store keeps it. Numbers are given from 1 up and checked where they come in.
pub(crate) fn number(number: u64) -> SqlValue {
    SqlValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A moment as the store keeps it.
pub(crate) fn moment(at: Timestamp) -> SqlValue {
    at.as_millisecond().into()
}

/// A row that does not mean what it should: a damaged table, or one of another release.
pub(crate) fn unreadable(what: impl std::fmt::Display) -> TaskError {
    TaskError::permanent(format!("the shop's rows cannot be read: {what}"))
}

/// The columns of the app's own rows, read as what they stand for.
pub(crate) trait Columns {
    fn number(&self, column: usize) -> Result<u64, TaskError>;
    fn count(&self, column: usize) -> Result<u32, TaskError>;
    fn moment(&self, column: usize) -> Result<Timestamp, TaskError>;
    /// What a name written by serde stands for.
    fn named<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, TaskError>;
}

impl Columns for SqlRow {
    fn number(&self, column: usize) -> Result<u64, TaskError> {
        u64::try_from(self.integer(column)?).map_err(unreadable)
    }

    fn count(&self, column: usize) -> Result<u32, TaskError> {
        u32::try_from(self.integer(column)?).map_err(unreadable)
    }

    fn moment(&self, column: usize) -> Result<Timestamp, TaskError> {
        Timestamp::from_millisecond(self.integer(column)?).map_err(unreadable)
    }

    fn named<T: serde::de::DeserializeOwned>(&self, column: usize) -> Result<T, TaskError> {
        serde_json::from_value(self.text(column)?.into()).map_err(unreadable)
    }
}

/// The name serde writes for a value without fields.
pub(crate) fn name_of(value: impl Serialize) -> Result<String, TaskError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => Ok(name),
        _ => Err(unreadable("a name is none")),
    }
}

/// Reads a period as [`Period`] writes it: `week:2026-03-23`, `month:2026-03`.
pub(crate) fn period(text: &str) -> Option<Period> {
    let (kind, date) = text.split_once(':')?;
    let (kind, date) = match kind {
        "day" => (PeriodKind::Day, date.to_owned()),
        "week" => (PeriodKind::Week, date.to_owned()),
        "month" => (PeriodKind::Month, format!("{date}-01")),
        _ => return None,
    };
    let period = Period::of_date(kind, date.parse::<Date>().ok()?);
    (period.to_string() == text).then_some(period)
}

/// The store of this number.
pub(crate) async fn store_of(rows: &Arc<dyn Rows>, store: StoreId) -> Result<Store, TaskError> {
    let found = rows.query_app(&format!("{STORES} WHERE id = ?1"), vec![number(store.0)]).await?;
    found.first().map_or_else(|| Err(TaskError::permanent(format!("there is no store {store}"))), store_row)
}

/// Everything of a store but its condition.
pub(crate) const STORES: &str = "SELECT id, name, zone, currency, fee_bp FROM stores";

/// A row of [`STORES`].
pub(crate) fn store_row(row: &SqlRow) -> Result<Store, TaskError> {
    Ok(Store {
        id: StoreId(row.number(0)?),
        name: row.text(1)?.to_owned(),
        zone: Zone::named(row.text(2)?).map_err(unreadable)?,
        currency: row.named(3)?,
        fee: BasisPoints::new(u16::try_from(row.integer(4)?).map_err(unreadable)?).map_err(unreadable)?,
    })
}

/// Sales of one store, with the condition to come: `?1` is the store.
pub(crate) const SALES: &str =
    "SELECT id, customer, product, quantity, amount_minor, at, recorded_at FROM sales WHERE store = ?1";

/// A row of [`SALES`].
pub(crate) fn sale_row(row: &SqlRow, store: StoreId, currency: Currency) -> Result<Sale, TaskError> {
    Ok(Sale {
        id: SaleId(row.number(0)?),
        store,
        customer: CustomerId(row.number(1)?),
        product: ProductId(row.number(2)?),
        quantity: row.count(3)?,
        amount: Money::new(row.integer(4)?, currency),
        at: row.moment(5)?,
        recorded_at: row.moment(6)?,
    })
}

/// Refunds of one store, with the condition to come: `?1` is the store.
pub(crate) const REFUNDS: &str =
    "SELECT id, sale, amount_minor, at, recorded_at FROM refunds WHERE store = ?1";

/// A row of [`REFUNDS`].
pub(crate) fn refund_row(row: &SqlRow, store: StoreId, currency: Currency) -> Result<Refund, TaskError> {
    Ok(Refund {
        id: RefundId(row.number(0)?),
        sale: SaleId(row.number(1)?),
        store,
        amount: Money::new(row.integer(2)?, currency),
        at: row.moment(3)?,
        recorded_at: row.moment(4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_read_as_it_is_written_and_not_otherwise() {
        for text in ["day:2026-03-29", "week:2026-03-23", "month:2026-03"] {
            assert_eq!(period(text).unwrap().to_string(), text);
        }
        for text in ["", "week", "week:2026-03-24", "year:2026-01-01", "month:2026-03-02", "day:2026-02-30"] {
            assert_eq!(period(text), None, "{text}");
        }
    }
}
