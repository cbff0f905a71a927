//! Each state and event, and the conservation of pieces under any sequence of them.

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
    assert!(matches!(stock.carry_out(StockMove::GiveBack(1)), Err(ReservationError::StockIsWrong { .. })));
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
