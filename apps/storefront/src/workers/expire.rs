//! `expire`: stock that was held too long is free again, once.
//!
//! Reading the reservation, asking the domain and writing both rows happen in the settling transaction: whatever buyers
//! and clocks do at the same time, one of them comes first, and the others find a reservation that is no longer held.

use std::sync::Arc;

use jiff::Timestamp;
use runtime::core::store::SqlRow;
use runtime::prelude::*;
use storefront_domain::{
    CustomerId, ProductId, Reservation, ReservationError, ReservationEvent, ReservationId, Stock,
};

use crate::obligations::Obligations;
use crate::rows::{Columns, moment, name_of, number};

/// One hold, and when it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expire {
    /// The reservation's number.
    pub reservation: u64,
    /// Of which product.
    pub product: u64,
    /// When the hold ends.
    #[schemars(with = "String")]
    pub expires_at: Timestamp,
}

impl Expire {
    /// The expiry of a reservation.
    #[must_use]
    pub fn of(reservation: &Reservation) -> Self {
        let Reservation { id, product, expires_at, .. } = *reservation;
        Self { reservation: id.0, product: product.0, expires_at }
    }
}

impl TaskInput for Expire {
    const KEY: &'static str = "reservation";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("reservation:{}", self.reservation))
    }

    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        Scope::new(format!("product={}", self.product)).map(Some)
    }
}

/// Which hold was looked at; what became of it stands in its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LookedAt {
    /// The reservation's number.
    pub reservation: u64,
}

/// Ends one hold, if it is still one.
///
/// # Errors
/// A snooze before its time; a retry when the store fails.
pub async fn expire(obligations: Arc<Obligations>, ctx: Context, ask: Expire) -> HandlerResult<LookedAt> {
    if obligations.time.now() < ask.expires_at {
        return Err(NotDone::Snooze { wait: obligations.time.until(ask.expires_at) });
    }
    let id = ReservationId(ask.reservation);
    // The hold ends at its own moment, not at the one in which somebody noticed.
    let at = ask.expires_at;
    ctx.write(AppWrite::new(move |tx| match step(tx, id, ReservationEvent::Expire, at)? {
        Some(Ok(_)) => Ok(()),
        Some(Err(refused)) => Err(TaskError::permanent(refused.to_string())),
        None => Err(TaskError::permanent(format!("there is no reservation {id}"))),
    }));
    Ok(LookedAt { reservation: ask.reservation })
}

/// What an event does to a reservation and its stock; `None` when there is no such reservation.
pub(crate) fn step(
    tx: &mut dyn StoreTx,
    id: ReservationId,
    event: ReservationEvent,
    at: Timestamp,
) -> Result<Option<Result<Reservation, ReservationError>>, TaskError> {
    let found = tx.query(&format!("{RESERVATIONS} WHERE id = ?1"), &[number(id.0)])?;
    let Some(row) = found.first() else { return Ok(None) };
    let reservation = reservation_row(row)?;
    let (after, stock_move) = match reservation.step(event, at) {
        Ok(stepped) => stepped,
        Err(refused) => return Ok(Some(Err(refused))),
    };
    if after == reservation {
        return Ok(Some(Ok(after)));
    }
    let stock = match stock_of(tx, reservation.product)?.map(|stock| stock.carry_out(stock_move)) {
        Some(Ok(stock)) => stock,
        Some(Err(refused)) => return Ok(Some(Err(refused))),
        None => return Err(TaskError::permanent(format!("product {} has no stock", reservation.product))),
    };
    write_stock(tx, &stock)?;
    tx.execute(
        "UPDATE reservations SET state = ?2, since = ?3 WHERE id = ?1",
        &[number(id.0), name_of(after.state)?.into(), moment(after.since)],
    )?;
    Ok(Some(Ok(after)))
}

/// The stock of a product.
pub(crate) fn stock_of(tx: &mut dyn StoreTx, product: ProductId) -> Result<Option<Stock>, TaskError> {
    let found = tx.query(&format!("{STOCK} WHERE product = ?1"), &[number(product.0)])?;
    found.first().map(stock_row).transpose()
}

/// Writes a product's counts.
pub(crate) fn write_stock(tx: &mut dyn StoreTx, stock: &Stock) -> Result<(), TaskError> {
    tx.execute(
        "UPDATE stock SET free = ?2, held = ?3, sold = ?4 WHERE product = ?1",
        &[number(stock.product.0), stock.free.into(), stock.held.into(), stock.sold.into()],
    )?;
    Ok(())
}

/// All stock, with the condition to come.
pub(crate) const STOCK: &str = "SELECT product, free, held, sold FROM stock";

/// A row of [`STOCK`].
pub(crate) fn stock_row(row: &SqlRow) -> Result<Stock, TaskError> {
    let product = ProductId(row.number(0)?);
    Ok(Stock { product, free: row.count(1)?, held: row.count(2)?, sold: row.count(3)? })
}

/// All reservations, with the condition to come.
pub(crate) const RESERVATIONS: &str =
    "SELECT id, customer, product, quantity, expires_at, state, since FROM reservations";

/// A row of [`RESERVATIONS`].
pub(crate) fn reservation_row(row: &SqlRow) -> Result<Reservation, TaskError> {
    Ok(Reservation {
        id: ReservationId(row.number(0)?),
        customer: CustomerId(row.number(1)?),
        product: ProductId(row.number(2)?),
        quantity: row.count(3)?,
        expires_at: row.moment(4)?,
        state: row.named(5)?,
        since: row.moment(6)?,
    })
}
