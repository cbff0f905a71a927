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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::ReservationEvent::{Cancel, Confirm, Expire};
    use super::*;

    const PRODUCT: ProductId = ProductId(7);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ask(id: u64, quantity: u32) -> HoldAsk {
        HoldAsk { id: ReservationId(id), customer: CustomerId(1), product: PRODUCT, quantity }
    }

    /// Ten pieces, three of them held from second 0 to second 60.
    fn setup() -> (Stock, Reservation) {
        Stock::new(PRODUCT, 10).hold(&ask(1, 3), at(0), SignedDuration::from_secs(60)).unwrap()
    }

    #[test]
    fn a_hold_takes_free_pieces_or_is_refused() {
        let (stock, reservation) = setup();
        assert_eq!((stock.free, stock.held, stock.sold), (7, 3, 0));
        assert_eq!(reservation.next_due(), Some(at(60)));
        let minute = SignedDuration::from_secs(60);
        let refused = |quantity| stock.hold(&ask(2, quantity), at(1), minute).unwrap_err();
        assert_eq!(refused(8), ReservationError::NotEnough { asked: 8, free: 7 });
        assert_eq!(refused(0), ReservationError::NothingAsked);
        let other = HoldAsk { product: ProductId(8), ..ask(2, 1) };
        assert!(matches!(stock.hold(&other, at(1), minute), Err(ReservationError::OtherProduct { .. })));
        assert_eq!(stock.hold(&ask(2, 1), at(1), SignedDuration::MAX), Err(ReservationError::TooLong));
    }

    #[test]
    fn the_last_moment_belongs_to_the_clock() {
        let (_, held) = setup();
        assert_eq!(held.step(Expire, at(59)), Err(ReservationError::NotDue { expires_at: at(60) }));
        assert_eq!(held.step(Confirm, at(59)).unwrap().1, StockMove::Sell(3));
        assert_eq!(held.step(Confirm, at(60)), Err(ReservationError::TooLate { expires_at: at(60) }));
        assert_eq!(held.step(Expire, at(60)).unwrap().1, StockMove::GiveBack(3));
    }

    #[test]
    fn every_end_answers_every_event() {
        let (_, held) = setup();
        let confirmed = held.step(Confirm, at(1)).unwrap().0;
        let released = held.step(Expire, at(60)).unwrap().0;
        let cancelled = held.step(Cancel, at(2)).unwrap().0;
        let late = ReservationError::TooLate { expires_at: at(60) };
        for (state, event, expected) in [
            (confirmed, Confirm, None),
            (confirmed, Expire, None),
            (confirmed, Cancel, Some(ReservationError::WasConfirmed)),
            (released, Confirm, Some(late)),
            (released, Expire, None),
            (released, Cancel, None),
            (cancelled, Confirm, Some(ReservationError::WasCancelled)),
            (cancelled, Expire, None),
            (cancelled, Cancel, None),
        ] {
            let expected = expected.map_or(Ok((state, StockMove::Stay)), Err);
            assert_eq!(state.step(event, at(90)), expected, "{:?} {event:?}", state.state);
        }
    }

    #[test]
    fn a_wrong_stock_row_is_said_not_wrapped() {
        let stock = Stock::new(PRODUCT, 1);
        assert!(matches!(
            stock.carry_out(StockMove::GiveBack(1)),
            Err(ReservationError::StockIsWrong { .. })
        ));
        assert!(matches!(stock.carry_out(StockMove::Sell(1)), Err(ReservationError::StockIsWrong { .. })));
    }

    #[derive(Debug, Clone)]
    enum Act {
        Hold { quantity: u32 },
        Step { which: prop::sample::Index, event: ReservationEvent },
        Wait { seconds: i64 },
    }

    fn any_act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0u32..6).prop_map(|quantity| Act::Hold { quantity }),
            (any::<prop::sample::Index>(), prop::sample::select(vec![Confirm, Cancel, Expire]))
                .prop_map(|(which, event)| Act::Step { which, event }),
            (0i64..40).prop_map(|seconds| Act::Wait { seconds }),
        ]
    }

    proptest! {
        #[test]
        fn pieces_are_conserved_and_come_back_once(acts in prop::collection::vec(any_act(), 0..80)) {
            let mut stock = Stock::new(PRODUCT, 12);
            let mut rows: Vec<Reservation> = Vec::new();
            let mut moved: BTreeMap<ReservationId, u32> = BTreeMap::new();
            let mut now = 0;
            for act in acts {
                match act {
                    Act::Wait { seconds } => now += seconds,
                    Act::Hold { quantity } => {
                        let ask = ask(rows.len() as u64, quantity);
                        if let Ok((after, row)) = stock.hold(&ask, at(now), SignedDuration::from_secs(30)) {
                            stock = after;
                            rows.push(row);
                        }
                    }
                    Act::Step { which, event } if !rows.is_empty() => {
                        let which = which.index(rows.len());
                        let row = &mut rows[which];
                        if let Ok((after, stock_move)) = row.step(event, at(now)) {
                            *row = after;
                            stock = stock.carry_out(stock_move).unwrap();
                            *moved.entry(after.id).or_default() += u32::from(stock_move != StockMove::Stay);
                        }
                    }
                    Act::Step { .. } => {}
                }
                let sum = |state| rows.iter().filter(|row| row.state == state).map(|row| row.quantity).sum::<u32>();
                prop_assert_eq!(stock.held, sum(ReservationState::Held));
                prop_assert_eq!(stock.sold, sum(ReservationState::Confirmed));
                prop_assert_eq!(stock.free + stock.held + stock.sold, 12);
            }
            prop_assert!(moved.values().all(|times| *times <= 1), "{:?}", moved);
        }
    }
}
