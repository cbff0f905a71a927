//! Every obligation against the truth: the rows are read back and asked again, by the domain's plainest functions.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use runtime::Running;
use runtime::core::store::{SqlRow, Store as Rows, TaskFilter};
use runtime::core::task::TaskState;
use storefront_domain::{
    Category, CategoryModel, CustomerId, Fact, Member, MemberId, MemberState, MembershipTerms, Money,
    Payment, PaymentId, Period, Product, ProductId, Rating, RecommendationRules, Refund, Reservation,
    ReservationState, RollupKey, Rollups, Sale, Sample, SettlementTerms, Stock, Store, Total,
};

use super::DemoError;
use super::load::Loaded;
use super::report::{Checks, table};
use crate::config::StorefrontConfig;
use crate::obligations::names;
use crate::provider::PaymentProvider;
use crate::rows::{Columns, REFUNDS, SALES, STORES, number, refund_row, sale_row, store_row};
use crate::workers::expire::{RESERVATIONS, STOCK, reservation_row, stock_row};
use crate::workers::recommend::rating_row;
use crate::workers::rollup::{CELLS, cell_row};
use crate::workers::sweep::{Sweep, Swept};

/// One store with everything that was sold and given back.
struct Ledger {
    store: Store,
    sales: Vec<Sale>,
    refunds: Vec<Refund>,
}

pub(super) async fn all(
    running: &Running,
    config: &StorefrontConfig,
    sample: &Sample,
    until: Timestamp,
    provider: &PaymentProvider,
    loaded: &Loaded,
) -> Result<bool, DemoError> {
    let rows = running.store();
    let mut checks = Checks::default();
    let ledgers = ledgers(rows).await?;
    recommendations(rows, sample, &mut checks).await?;
    reservations(rows, sample, until, loaded, &mut checks).await?;
    settlements(rows, config, &ledgers, provider, &mut checks).await?;
    memberships(rows, until, &mut checks).await?;
    rollups(rows, &ledgers, &mut checks).await?;
    notifications(rows, config, &mut checks).await?;
    nights(running, config, &ledgers, &mut checks).await?;
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

/// The schedule's tasks: from tick to tick without a gap.
async fn nights(
    running: &Running,
    config: &StorefrontConfig,
    ledgers: &[Ledger],
    checks: &mut Checks,
) -> Result<(), DemoError> {
    let (filter, mut after, mut sweeps) = (done_of(names::SWEEP)?, None, Vec::new());
    loop {
        let page = running.store().list(filter.clone(), after, 500).await?;
        for task in page.tasks {
            let asked: Sweep = serde_json::from_slice(&task.payload)?;
            let swept: Swept = serde_json::from_slice(&task.output.unwrap_or_default())?;
            sweeps.push((asked, swept));
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    sweeps.sort_by_key(|(asked, _)| asked.since);
    let (Some((first, _)), Some((last, _))) = (sweeps.first(), sweeps.last()) else {
        checks.check(false, "the schedule made its tasks");
        return Ok(());
    };
    let time = config.time();
    let (from, to) = (time.at(first.since), time.at(last.until));
    let ended: usize = ledgers.iter().map(|ledger| ledger.store.zone.days_ended(from, to).count()).sum();
    let asked: u64 = sweeps.iter().map(|(_, swept)| swept.days).sum();
    println!("Nights\n");
    let row = vec!["nightly-sweep".to_owned(), sweeps.len().to_string(), asked.to_string()];
    println!("{}", table(&["SCHEDULE", "TICKS", "DAYS ASKED FOR"], &[row]));
    let joined = sweeps.windows(2).all(|pair| pair[0].0.until == pair[1].0.since);
    checks.check(joined && asked == ended as u64, "each day that ended was asked for once more, once");
    println!();
    Ok(())
}

fn done_of(queue: &str) -> Result<TaskFilter, DemoError> {
    Ok(TaskFilter { states: vec![TaskState::Done], queue: Some(queue.parse()?), ..TaskFilter::default() })
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

async fn recommendations(
    rows: &Arc<dyn Rows>,
    sample: &Sample,
    checks: &mut Checks,
) -> Result<(), DemoError> {
    let found = rows.query_app("SELECT seq, customer, product, stars, at FROM ratings", Vec::new()).await?;
    let ratings: Vec<Rating> = found.iter().map(rating_row).collect::<Result<_, _>>()?;
    let products: BTreeMap<ProductId, &Product> =
        sample.products.iter().map(|product| (product.id, product)).collect();
    let (mut shown, mut same) = (Vec::new(), true);
    for category in sample.categories() {
        let model = CategoryModel::rebuild(category.clone(), products.values().copied(), &ratings);
        let expected: Vec<_> = model
            .lists(&RecommendationRules::default())
            .into_iter()
            .flat_map(|(product, list)| {
                list.into_iter().map(move |entry| (product, entry.product, entry.score_ppm))
            })
            .collect();
        let written = written_lists(rows, &category).await?;
        same &= written == expected;
        let inside = |rating: &&Rating| products[&rating.product].categories.contains(&category);
        let best = written.iter().max_by_key(|(_, _, score)| *score);
        let best = best.map(|(one, other, _)| format!("{} ~ {}", products[one].name, products[other].name));
        shown.push(vec![
            category.to_string(),
            ratings.iter().filter(inside).count().to_string(),
            written.len().to_string(),
            best.unwrap_or_default(),
        ]);
    }
    println!("Recommendations\n");
    println!("{}", table(&["CATEGORY", "RATINGS", "ENTRIES", "CLOSEST"], &shown));
    checks.check(same, "each list is the one that all ratings at once give");
    println!();
    Ok(())
}

async fn written_lists(
    rows: &Arc<dyn Rows>,
    category: &Category,
) -> Result<Vec<(ProductId, ProductId, u64)>, DemoError> {
    let sql =
        "SELECT product, other, score_ppm FROM recommendation WHERE category = ?1 ORDER BY product, position";
    let found = rows.query_app(sql, vec![category.0.as_str().into()]).await?;
    let entry = |row: &SqlRow| Ok((ProductId(row.number(0)?), ProductId(row.number(1)?), row.number(2)?));
    found.iter().map(entry).collect()
}

async fn reservations(
    rows: &Arc<dyn Rows>,
    sample: &Sample,
    until: Timestamp,
    loaded: &Loaded,
    checks: &mut Checks,
) -> Result<(), DemoError> {
    let found = rows.query_app(RESERVATIONS, Vec::new()).await?;
    let reservations: Vec<Reservation> = found.iter().map(reservation_row).collect::<Result<_, _>>()?;
    let found = rows.query_app(STOCK, Vec::new()).await?;
    let stock: Vec<Stock> = found.iter().map(stock_row).collect::<Result<_, _>>()?;
    let pieces = |state, product: Option<ProductId>| -> u32 {
        let these = reservations
            .iter()
            .filter(|one| one.state == state && product.is_none_or(|it| it == one.product));
        these.map(|one| one.quantity).sum()
    };
    let states = [
        ("held", ReservationState::Held),
        ("confirmed", ReservationState::Confirmed),
        ("released", ReservationState::Released),
        ("cancelled", ReservationState::Cancelled),
    ];
    let mut shown: Vec<_> = states
        .into_iter()
        .map(|(name, state)| {
            let many = reservations.iter().filter(|one| one.state == state).count();
            vec![name.to_owned(), many.to_string(), pieces(state, None).to_string()]
        })
        .collect();
    shown.push(vec![
        "refused: not enough in stock".to_owned(),
        loaded.count("/reservations", 409).to_string(),
        String::new(),
    ]);
    println!("Reservations\n");
    println!("{}", table(&["STATE", "RESERVATIONS", "PIECES"], &shown));
    checks
        .check(!reservations.iter().any(|one| one.is_overdue(until)), "no reservation is held past its end");
    let asked = loaded.count("/reservations", 201) + loaded.count("/reservations", 409);
    let taken = loaded.count("/reservations", 201) == reservations.len() as u64;
    checks.check(
        taken && asked == sample.holds.len() as u64,
        "each hold that was asked for was taken once or refused",
    );
    let adds_up = stock.iter().zip(&sample.stock).all(|(now, before)| {
        now.product == before.product
            && now.free + now.held + now.sold == before.free
            && now.sold == pieces(ReservationState::Confirmed, Some(now.product))
            && now.held == pieces(ReservationState::Held, Some(now.product))
    });
    checks.check(
        adds_up && stock.len() == sample.stock.len(),
        "free, held and sold pieces add up for every product",
    );
    println!();
    Ok(())
}

async fn memberships(rows: &Arc<dyn Rows>, until: Timestamp, checks: &mut Checks) -> Result<(), DemoError> {
    let terms = MembershipTerms::default();
    let sql = "SELECT m.id, m.customer, m.joined_at, s.state, s.since, s.paid_until
               FROM members m LEFT JOIN membership s ON s.member = m.id ORDER BY m.id";
    let mut counts: BTreeMap<MemberState, u64> = BTreeMap::new();
    let mut same = true;
    for row in rows.query_app(sql, Vec::new()).await? {
        let id = MemberId(row.number(0)?);
        let mut member = Member::join(id, CustomerId(row.number(1)?), row.moment(2)?, &terms)?;
        let paid = "SELECT id, cycles, at FROM payments WHERE member = ?1 ORDER BY at, id";
        for row in rows.query_app(paid, vec![number(id.0)]).await? {
            let cycles = u16::try_from(row.integer(1)?)?;
            let payment = Payment { id: PaymentId(row.number(0)?), member: id, cycles, at: row.moment(2)? };
            if let Ok(Some(paid)) = member.pay(&payment, &terms) {
                member = paid;
            }
        }
        let expected = member.caught_up(&terms, until);
        *counts.entry(expected.state).or_default() += 1;
        let written = (row.named(3).ok(), row.moment(4).ok(), row.moment(5).ok());
        same &= written == (Some(expected.state), Some(expected.since), Some(expected.paid_until));
    }
    println!("Memberships\n");
    let shown: Vec<_> = counts
        .iter()
        .map(|(state, many)| vec![crate::rows::name_of(state).unwrap_or_default(), many.to_string()])
        .collect();
    println!("{}", table(&["STATE", "MEMBERS"], &shown));
    checks.check(same, "each membership stands where its payments and the time put it");
    let changes = rows.query_app("SELECT COUNT(*) FROM membership_change", Vec::new()).await?;
    println!("  ({} transitions by the clock)\n", changes.first().map_or(Ok(0), |row| row.integer(0))?);
    Ok(())
}

async fn notifications(
    rows: &Arc<dyn Rows>,
    config: &StorefrontConfig,
    checks: &mut Checks,
) -> Result<(), DemoError> {
    let sql = "SELECT topic, COUNT(*), COUNT(promotion), COUNT(DISTINCT promotion) FROM drafts GROUP BY topic ORDER BY topic";
    let (mut shown, mut all_promoted) = (Vec::new(), true);
    for row in rows.query_app(sql, Vec::new()).await? {
        let (drafts, promoted) = (row.integer(1)?, row.integer(2)?);
        all_promoted &= drafts == promoted;
        shown.push(vec![row.text(0)?.to_owned(), drafts.to_string(), row.integer(3)?.to_string()]);
    }
    println!("Notifications\n");
    println!("{}", table(&["TOPIC", "DRAFTS", "LETTERS"], &shown));
    checks.check(all_promoted, "each draft is in exactly one promotion");
    let mut promotions: BTreeMap<String, (bool, u64)> = BTreeMap::new();
    for row in rows.query_app("SELECT id, state FROM promotions", Vec::new()).await? {
        promotions.insert(row.text(0)?.to_owned(), (row.text(1)? == "sent", 0));
    }
    let mut strangers = 0;
    for file in std::fs::read_dir(config.notifications.spool.join("new"))? {
        let name = file?.file_name().to_string_lossy().into_owned();
        match name.split_once('.').and_then(|(promotion, _)| promotions.get_mut(promotion)) {
            Some((_, letters)) => *letters += 1,
            None => strangers += 1,
        }
    }
    let once = promotions.values().all(|(sent, letters)| *sent && *letters == 1);
    checks.check(
        once && strangers == 0,
        "each promotion is one letter in the spool, and nothing else is there",
    );
    println!();
    Ok(())
}
