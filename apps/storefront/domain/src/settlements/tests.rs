//! Which period a row settles in, what is left for the store, and that nothing is paid twice.

use proptest::prelude::*;

use crate::truth::{CustomerId, ProductId};

use super::*;

fn terms(kind: PeriodKind) -> SettlementTerms {
    SettlementTerms {
        store: StoreId(42),
        zone: Zone::named("Europe/Berlin").unwrap(),
        currency: Currency::Eur,
        fee: BasisPoints::new(250).unwrap(),
        kind,
        closing: SignedDuration::from_hours(6),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn eur(minor: i64) -> Money {
    Money::new(minor, Currency::Eur)
}

fn sale(id: u64, minor: i64, at: Timestamp, recorded_at: Timestamp) -> Sale {
    let (store, customer, product) = (StoreId(42), CustomerId(1), ProductId(1));
    Sale { id: SaleId(id), store, customer, product, quantity: 1, amount: eur(minor), at, recorded_at }
}

fn refund(id: u64, minor: i64, at: Timestamp, recorded_at: Timestamp) -> Refund {
    Refund { id: RefundId(id), sale: SaleId(1), store: StoreId(42), amount: eur(minor), at, recorded_at }
}

fn month(text: &str) -> Period {
    Period::of_date(PeriodKind::Month, format!("{text}-01").parse().unwrap())
}

#[test]
fn a_month_is_paid_net_of_refunds_and_fee() {
    let noon = at("2026-03-10T12:00:00Z");
    let sales = [sale(1, 10_000, noon, noon), sale(2, 999, noon, noon)];
    let settled = terms(PeriodKind::Month).settle(month("2026-03"), &sales, &[refund(1, 1_000, noon, noon)]);
    let settled = settled.unwrap();
    assert_eq!(settled.net, eur(9_999));
    assert_eq!(settled.payout, eur(9_749), "the fee of 249.975 is rounded to 250");
    assert_eq!(
        settled.lines.map(|line| (line.rows, line.amount.minor)),
        [(2, 10_999), (1, -1_000), (1, -250)]
    );
    assert_eq!(settled.payout_key(), "payout/store:42/month:2026-03");
    // Berlin's April begins two hours before UTC's; the books stay open for six hours more.
    assert_eq!(settled.closed_at, at("2026-04-01T04:00:00Z"));
}

#[test]
fn a_late_refund_goes_to_the_open_period() {
    let terms = terms(PeriodKind::Month);
    let happened = at("2026-03-31T20:00:00Z");
    for (recorded, expected) in [
        ("2026-03-31T20:00:00Z", "2026-03"),
        ("2026-04-01T03:59:59Z", "2026-03"),
        ("2026-04-01T04:00:00Z", "2026-04"),
        ("2026-06-17T00:00:00Z", "2026-06"),
    ] {
        assert_eq!(terms.period_of(happened, at(recorded)), month(expected), "{recorded}");
    }
    let late = refund(1, 500, happened, at("2026-04-02T08:00:00Z"));
    let sales = [sale(1, 2_000, happened, happened)];
    assert_eq!(terms.settle(month("2026-03"), &sales, &[late]).unwrap().net, eur(2_000));
    let april = terms.settle(month("2026-04"), &sales, &[late]).unwrap();
    assert_eq!((april.net, april.payout), (eur(-500), eur(-488)), "12.5 is a half and goes to the even 12");
}

#[test]
fn the_day_ends_at_the_stores_midnight() {
    let terms = terms(PeriodKind::Day);
    let day = |text: &str| terms.period_of(at(text), at(text)).to_string();
    assert_eq!(day("2026-03-28T22:59:59Z"), "day:2026-03-28");
    assert_eq!(day("2026-03-28T23:00:00Z"), "day:2026-03-29");
    assert_eq!(day("2026-03-29T21:59:59Z"), "day:2026-03-29", "the day has 23 hours");
    assert_eq!(day("2026-03-29T22:00:00Z"), "day:2026-03-30");
}

#[test]
fn rows_that_cannot_be_settled_stop_the_settlement() {
    let terms = terms(PeriodKind::Month);
    let noon = at("2026-03-10T12:00:00Z");
    let good = sale(1, 100, noon, noon);
    let refuse = |sale: Sale| terms.settle(month("2026-03"), &[good, sale], &[]).unwrap_err();
    let row = RowId::Sale(SaleId(2));
    assert_eq!(refuse(good), SettlementError::Twice { row: RowId::Sale(SaleId(1)) });
    assert_eq!(refuse(sale(2, -1, noon, noon)), SettlementError::Negative { row });
    let other = Sale { store: StoreId(7), ..sale(2, 1, noon, noon) };
    assert_eq!(refuse(other), SettlementError::OtherStore { row, store: StoreId(42) });
    let pounds = Sale { amount: Money::new(1, Currency::Gbp), ..sale(2, 1, noon, noon) };
    assert!(matches!(refuse(pounds), SettlementError::Money { .. }));
    assert!(matches!(refuse(sale(2, i64::MAX, noon, noon)), SettlementError::Money { .. }));
}

/// Rows of about two months of 2026, recorded at once or up to forty days late.
fn any_rows() -> impl Strategy<Value = (Vec<Sale>, Vec<Refund>)> {
    let row = || (0i64..100_000, 0i64..5_000_000, prop_oneof![Just(0i64), 0i64..3_500_000]);
    let moment = |second| Timestamp::from_second(1_772_000_000 + second).unwrap();
    let rows = (prop::collection::vec(row(), 0..40), prop::collection::vec(row(), 0..20));
    rows.prop_map(move |(sales, refunds)| {
        let sales = sales.into_iter().enumerate();
        let refunds = refunds.into_iter().enumerate();
        (
            sales.map(|(id, (minor, s, late))| sale(id as u64, minor, moment(s), moment(s + late))).collect(),
            refunds
                .map(|(id, (minor, s, late))| refund(id as u64, minor, moment(s), moment(s + late)))
                .collect(),
        )
    })
}

fn any_kind() -> impl Strategy<Value = PeriodKind> {
    prop::sample::select(vec![PeriodKind::Day, PeriodKind::Week, PeriodKind::Month])
}

proptest! {
    #[test]
    fn settlements_add_up_to_sales_minus_refunds((sales, refunds) in any_rows(), kind in any_kind()) {
        let terms = terms(kind);
        let all = terms.settle_all(&sales, &refunds).unwrap();
        let sold: i64 = sales.iter().map(|sale| sale.amount.minor).sum();
        let given_back: i64 = refunds.iter().map(|refund| refund.amount.minor).sum();
        prop_assert_eq!(all.values().map(|settled| settled.net.minor).sum::<i64>(), sold - given_back);
        for (period, settled) in &all {
            prop_assert_eq!(settled.lines.iter().map(|line| line.amount.minor).sum::<i64>(), settled.payout.minor);
            prop_assert_eq!(settled.net.minor, settled.lines[0].amount.minor + settled.lines[1].amount.minor);
            // One period alone, from rows in another order, is the same to the byte.
            let alone = terms.settle(*period, sales.iter().rev(), refunds.iter().rev()).unwrap();
            prop_assert_eq!(serde_json::to_string(&alone).unwrap(), serde_json::to_string(settled).unwrap());
        }
    }

    #[test]
    fn what_is_recorded_after_the_close_changes_nothing((sales, refunds) in any_rows(), kind in any_kind()) {
        let terms = terms(kind);
        for (period, settled) in terms.settle_all(&sales, &refunds).unwrap() {
            let known = |recorded_at: Timestamp| recorded_at < settled.closed_at;
            let early_sales = sales.iter().filter(|sale| known(sale.recorded_at));
            let early_refunds = refunds.iter().filter(|refund| known(refund.recorded_at));
            prop_assert_eq!(terms.settle(period, early_sales, early_refunds).unwrap(), settled);
        }
    }
}
