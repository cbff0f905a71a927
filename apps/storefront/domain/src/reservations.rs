//! Stock held for a buyer for some minutes.
//!
//! ```text
//!                 confirm, in time
//!  free ─hold─▶ held ─────────────▶ confirmed   the pieces are sold
//!    ▲            │ time is up
//!    ├────────────┼───────────────▶ released    the pieces are free again
//!    └────────────┴───────────────▶ cancelled   the pieces are free again
//! ```
//!
//! One function, [`Reservation::step`], moves the state, and only a step out of *held* moves stock. Nothing leads back
//! to *held*, so the pieces of a reservation come back at most once however often and in whatever order the buyer, the
//! clock and a retry ask.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::truth::{CustomerId, ProductId, ReservationId};

/// The pieces of one product. Invariant: their sum changes only by [`Stock::receive`]; no count is ever negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Which product.
    pub product: ProductId,
    /// To be had.
    pub free: u32,
    /// Held for somebody.
    pub held: u32,
    /// Sold by a confirmed reservation.
    pub sold: u32,
}

/// What a step does to the stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StockMove {
    /// Nothing.
    Stay,
    /// So many pieces go from held to sold.
    Sell(u32),
    /// So many pieces go from held to free.
    GiveBack(u32),
}

/// What somebody wants held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldAsk {
    /// The number the reservation gets.
    pub id: ReservationId,
    /// For whom.
    pub customer: CustomerId,
    /// Which product.
    pub product: ProductId,
    /// How many pieces; at least one.
    pub quantity: u32,
}

/// Where a reservation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationState {
    /// The pieces wait for the buyer.
    Held,
    /// The buyer took them.
    Confirmed,
    /// Time was up.
    Released,
    /// The buyer let them go.
    Cancelled,
}

/// What may happen to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReservationEvent {
    /// The buyer takes the pieces.
    Confirm,
    /// The buyer lets them go.
    Cancel,
    /// The clock says that time is up.
    Expire,
}

/// Pieces held for a buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Its number.
    pub id: ReservationId,
    /// For whom.
    pub customer: CustomerId,
    /// Which product.
    pub product: ProductId,
    /// How many pieces; at least one.
    pub quantity: u32,
    /// When the hold ends. At this very moment it is over.
    pub expires_at: Timestamp,
    /// Where it stands.
    pub state: ReservationState,
    /// Since when it stands there.
    pub since: Timestamp,
}

/// Why pieces are not held, taken or given back.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReservationError {
    /// A hold of nothing.
    #[error("a reservation holds at least one piece")]
    NothingAsked,
    /// A hold of one product in another one's stock.
    #[error("product {asked} is not in the stock of product {stock}")]
    OtherProduct {
        /// What was asked for.
        asked: ProductId,
        /// Whose stock it is.
        stock: ProductId,
    },
    /// Fewer pieces are free.
    #[error("{asked} pieces asked for and {free} free")]
    NotEnough {
        /// Pieces asked for.
        asked: u32,
        /// Pieces free.
        free: u32,
    },
    /// The hold would end beyond the calendar.
    #[error("the hold ends beyond the calendar")]
    TooLong,
    /// A confirmation at or after the end of the hold.
    #[error("too late: the hold ended at {expires_at}")]
    TooLate {
        /// When it ended.
        expires_at: Timestamp,
    },
    /// An expiry before the end of the hold.
    #[error("not due: the hold ends at {expires_at}")]
    NotDue {
        /// When it will end.
        expires_at: Timestamp,
    },
    /// A confirmation of what the buyer let go.
    #[error("the reservation was cancelled")]
    WasCancelled,
    /// A cancellation of what the buyer took.
    #[error("the reservation was confirmed")]
    WasConfirmed,
    /// The move asks for more held pieces, or makes more free or sold ones, than can be: the stock row is wrong.
    #[error("the stock of product {product} does not allow {stock_move:?}")]
    StockIsWrong {
        /// Whose stock.
        product: ProductId,
        /// The move.
        stock_move: StockMove,
    },
}

impl Stock {
    /// A stock of `free` pieces.
    #[must_use]
    pub fn new(product: ProductId, free: u32) -> Self {
        Self { product, free, held: 0, sold: 0 }
    }

    /// New pieces come in; `None` when they are too many to count.
    #[must_use]
    pub fn receive(self, pieces: u32) -> Option<Self> {
        self.free.checked_add(pieces).map(|free| Self { free, ..self })
    }

    /// Holds what is asked for `hold_for` from `now`.
    ///
    /// # Errors
    /// [`ReservationError::NothingAsked`], [`OtherProduct`](ReservationError::OtherProduct),
    /// [`NotEnough`](ReservationError::NotEnough) or [`TooLong`](ReservationError::TooLong). Nothing is held then.
    pub fn hold(
        self,
        ask: &HoldAsk,
        now: Timestamp,
        hold_for: SignedDuration,
    ) -> Result<(Self, Reservation), ReservationError> {
        let HoldAsk { id, customer, product, quantity } = *ask;
        if quantity == 0 {
            return Err(ReservationError::NothingAsked);
        }
        if product != self.product {
            return Err(ReservationError::OtherProduct { asked: product, stock: self.product });
        }
        let left = self.free.checked_sub(quantity).zip(self.held.checked_add(quantity));
        let (free, held) = left.ok_or(ReservationError::NotEnough { asked: quantity, free: self.free })?;
        let expires_at = now.checked_add(hold_for).map_err(|_| ReservationError::TooLong)?;
        let state = ReservationState::Held;
        let reservation = Reservation { id, customer, product, quantity, expires_at, state, since: now };
        Ok((Self { free, held, ..self }, reservation))
    }

    /// Carries out what a step asks of the stock.
    ///
    /// # Errors
    /// [`ReservationError::StockIsWrong`]: never for a stock that held the reservation.
    pub fn carry_out(self, stock_move: StockMove) -> Result<Self, ReservationError> {
        let moved = match stock_move {
            StockMove::Stay => Some(self),
            StockMove::Sell(pieces) => self
                .held
                .checked_sub(pieces)
                .zip(self.sold.checked_add(pieces))
                .map(|(held, sold)| Self { held, sold, ..self }),
            StockMove::GiveBack(pieces) => self
                .held
                .checked_sub(pieces)
                .zip(self.free.checked_add(pieces))
                .map(|(held, free)| Self { held, free, ..self }),
        };
        moved.ok_or(ReservationError::StockIsWrong { product: self.product, stock_move })
    }
}

impl Reservation {
    /// What becomes of the reservation, and what that does to the stock. An event whose work was done before changes
    /// nothing and is no error, so that every task may run twice.
    ///
    /// # Errors
    /// [`TooLate`](ReservationError::TooLate), [`NotDue`](ReservationError::NotDue),
    /// [`WasCancelled`](ReservationError::WasCancelled) or [`WasConfirmed`](ReservationError::WasConfirmed).
    pub fn step(
        &self,
        event: ReservationEvent,
        now: Timestamp,
    ) -> Result<(Self, StockMove), ReservationError> {
        use ReservationEvent::{Cancel, Confirm, Expire};
        use ReservationState::{Cancelled, Confirmed, Held, Released};
        let expires_at = self.expires_at;
        let due = now >= expires_at;
        let ends = |state, stock_move| Ok((Self { state, since: now, ..*self }, stock_move));
        match (self.state, event) {
            (Held, Confirm) if due => Err(ReservationError::TooLate { expires_at }),
            (Held, Confirm) => ends(Confirmed, StockMove::Sell(self.quantity)),
            (Held, Expire) if !due => Err(ReservationError::NotDue { expires_at }),
            (Held, Expire) => ends(Released, StockMove::GiveBack(self.quantity)),
            (Held, Cancel) => ends(Cancelled, StockMove::GiveBack(self.quantity)),
            (Released, Confirm) => Err(ReservationError::TooLate { expires_at }),
            (Cancelled, Confirm) => Err(ReservationError::WasCancelled),
            (Confirmed, Cancel) => Err(ReservationError::WasConfirmed),
            (Confirmed, Confirm | Expire) | (Released | Cancelled, Cancel | Expire) => {
                Ok((*self, StockMove::Stay))
            }
        }
    }

    /// When the clock has something to do with it; `None` once it is no longer held.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        (self.state == ReservationState::Held).then_some(self.expires_at)
    }

    /// Whether it is still held although its time is up: what an expiry worker must not leave behind.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.next_due().is_some_and(|due| now >= due)
    }
}

#[cfg(test)]
mod tests;
