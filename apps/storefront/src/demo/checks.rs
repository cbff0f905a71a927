//! Every obligation against the truth: the rows are read back and asked again, by the domain's plainest functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use runtime::Running;
use runtime::core::store::Store as Rows;
use runtime::core::task::TaskState;
use storefront_domain::{
    Fact, Money, Period, Refund, RollupKey, Rollups, Sale, SettlementTerms, Store, Total,
};

use super::DemoError;
use super::load::Loaded;
use super::report::{Checks, table};
use crate::config::StorefrontConfig;
use crate::provider::PaymentProvider;
use crate::rows::{REFUNDS, SALES, STORES, number, refund_row, sale_row, store_row};
use crate::workers::rollup::{CELLS, cell_row};

/// One store with everything that was sold and given back.
struct Ledger {
    store: Store,
    sales: Vec<Sale>,
    refunds: Vec<Refund>,
}

pub(super) async fn all(
    running: &Running,
    config: &StorefrontConfig,
    _until: Timestamp,
    provider: &PaymentProvider,
    _loaded: &Loaded,
) -> Result<bool, DemoError> {
    let rows = running.store();
    let mut checks = Checks::default();
    let ledgers = ledgers(rows).await?;
    settlements(rows, config, &ledgers, provider, &mut checks).await?;
    rollups(rows, &ledgers, &mut checks).await?;
    tasks(running, &mut checks).await?;
    Ok(checks.failed == 0)
}

async fn ledgers(rows: &Arc<dyn Rows>) -> Result<Vec<Ledger>, DemoError> {
    let mut ledgers = Vec::new();
    for row in rows.query_app(&format!("{STORES} ORDER BY id"), Vec::new()).await? {
        let store = store_row(&row)?;
        let of = vec![number(store.id.0)];
        let sales = rows.query_app(SALES, of.clone()).await?;
        let refunds = rows.query_app(REFUNDS, of).await?;
        ledgers.push(Ledger {
            sales: sales
                .iter()
                .map(|row| sale_row(row, store.id, store.currency))
                .collect::<Result<_, _>>()?,
            refunds: refunds
                .iter()
                .map(|row| refund_row(row, store.id, store.currency))
                .collect::<Result<_, _>>()?,
            store,
        });
    }
    Ok(ledgers)
}

async fn settlements(
    rows: &Arc<dyn Rows>,
    config: &StorefrontConfig,
    ledgers: &[Ledger],
    provider: &PaymentProvider,
    checks: &mut Checks,
) -> Result<(), DemoError> {
    let mut shown = Vec::new();
    let (mut adds_up, mut same, mut due) = (true, true, BTreeMap::new());
    for Ledger { store, sales, refunds } in ledgers {
        let closing = jiff::SignedDuration::from_hours(config.settlements.closing_hours.into());
        let terms = SettlementTerms::of(store, config.settlements.every.into(), closing);
        let expected = terms.settle_all(sales, refunds)?;
        let sql =
            "SELECT period, net_minor, payout_minor FROM settlement WHERE store = ?1 ORDER BY closed_at";
        let mut written: BTreeMap<Period, (i64, i64)> = BTreeMap::new();
        for row in rows.query_app(sql, vec![number(store.id.0)]).await? {
            let period = crate::rows::period(row.text(0)?).ok_or("a period that is none")?;
            written.insert(period, (row.integer(1)?, row.integer(2)?));
        }
        let sold: i64 = sales.iter().map(|sale| sale.amount.minor).sum();
        let given_back: i64 = refunds.iter().map(|refund| refund.amount.minor).sum();
        let net: i64 = written.values().map(|(net, _)| net).sum();
        let paid: i64 = written.values().map(|(_, payout)| payout).sum();
        adds_up &= net == sold - given_back;
        same &= written
            == expected.iter().map(|(period, week)| (*period, (week.net.minor, week.payout.minor))).collect();
        due.extend(
            expected
                .values()
                .filter(|week| week.payout.minor != 0)
                .map(|week| (week.payout_key(), week.payout.minor)),
        );
        let money = |minor| Money::new(minor, store.currency).to_string();
        shown.push(vec![
            store.name.clone(),
            sales.len().to_string(),
            money(sold),
            refunds.len().to_string(),
            money(given_back),
            written.len().to_string(),
            money(net),
            money(paid),
        ]);
    }
    println!("Settlements\n");
    let headers = ["STORE", "SALES", "SOLD", "REFUNDS", "GIVEN BACK", "PERIODS", "NET", "PAID OUT"];
    println!("{}", table(&headers, &shown));
    checks.check(adds_up, "the settlements of each store add up to its sales less its refunds");
    checks.check(same, "each settlement is the one that the domain makes of all rows at once");
    let books = provider.books();
    let paid: BTreeMap<_, _> =
        books.paid.iter().map(|(key, order)| (key.clone(), order.amount_minor)).collect();
    checks
        .check(paid == due && books.refused == 0, "the provider paid each settlement once, and nothing else");
    println!(
        "  ({} calls for {} payments; {} were paid and not confirmed, {} asked for again)\n",
        books.calls,
        books.paid.len(),
        books.unanswered,
        books.repeated
    );
    Ok(())
}

async fn rollups(rows: &Arc<dyn Rows>, ledgers: &[Ledger], checks: &mut Checks) -> Result<(), DemoError> {
    let mut shown = Vec::new();
    let mut same = true;
    for Ledger { store, sales, refunds } in ledgers {
        let facts: Vec<Fact> =
            sales.iter().flat_map(Fact::of_sale).chain(refunds.iter().map(Fact::of_refund)).collect();
        let expected = Rollups::rebuild(&facts, &store.zone);
        let cells = rows.query_app(&format!("{CELLS} WHERE store = ?1"), vec![number(store.id.0)]).await?;
        let written: BTreeMap<RollupKey, Total> = cells.iter().map(cell_row).collect::<Result<_, _>>()?;
        same &= written.iter().eq(expected.iter());
        let late = facts.iter().filter(|fact| fact.is_late(&store.zone)).count();
        shown.push(vec![
            store.name.clone(),
            facts.len().to_string(),
            late.to_string(),
            written.len().to_string(),
        ]);
    }
    println!("Rollups\n");
    println!("{}", table(&["STORE", "FACTS", "OF THEM LATE", "CELLS"], &shown));
    checks.check(same, "each cell is the one that all rows at once give");
    println!();
    Ok(())
}

async fn tasks(running: &Running, checks: &mut Checks) -> Result<(), DemoError> {
    let mut shown = Vec::new();
    let mut stranded = 0;
    for queue in running.store().queue_stats().await? {
        let count = |state| queue.counts.of(state);
        stranded += count(TaskState::Dead) + count(TaskState::Parked);
        shown.push(vec![
            queue.queue.to_string(),
            count(TaskState::Done).to_string(),
            count(TaskState::Scheduled).to_string(),
            count(TaskState::Parked).to_string(),
            count(TaskState::Dead).to_string(),
        ]);
    }
    println!("Tasks\n");
    println!("{}", table(&["WORKER", "DONE", "DUE LATER", "PARKED", "DEAD"], &shown));
    checks.check(stranded == 0, "no task is dead or waits for a person");
    println!();
    Ok(())
}
