//! `settle`: what a store is paid for a period, paid once.
//!
//! ```text
//! close the books ─▶ read the period's rows ─▶ pay, keyed by store and period ─▶ settlement and payout lines
//! (a row of its own:                            (the provider enforces the key)   (commit with the outcome)
//!  no later row gets in)
//! ```
//!
//! The key of the payment is the domain's, made of store and period, not of the task: a rebuild makes new tasks, and
//! under the same key and amount the provider answers with the receipt it gave before.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::civil::Date;
use runtime::core::store::Store as Rows;
use runtime::prelude::*;
use storefront_domain::{OpenSettlement, Period, PeriodKind, Settlement, SettlementTerms, StoreId};

use crate::obligations::Obligations;
use crate::payments::{PayoutOrder, Provider, Receipt};
use crate::rows::{REFUNDS, SALES, moment, name_of, number, period, refund_row, sale_row, store_of};

/// Rows read at once.
const PAGE: i64 = 5_000;

/// A store and a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// The store's number.
    pub store: u64,
    /// `day`, `week` or `month`.
    #[schemars(with = "String")]
    pub every: PeriodKind,
    /// The period's first date.
    #[schemars(with = "String")]
    pub starts_on: Date,
}

impl Settle {
    /// The settlement of a store for a period.
    #[must_use]
    pub fn of(store: StoreId, period: Period) -> Self {
        Self { store: store.0, every: period.kind(), starts_on: period.starts_on() }
    }

    fn period(&self) -> Period {
        Period::of_date(self.every, self.starts_on)
    }
}

impl TaskInput for Settle {
    const KEY: &'static str = "store and period";

    fn idempotency_key(&self) -> Result<IdempotencyKey, InvalidName> {
        IdempotencyKey::new(format!("store:{}/{}", self.store, self.period()))
    }

    fn unique(&self) -> Unique {
        Unique { within: UniqueWithin::Forever, on_conflict: OnConflict::Ignore }
    }

    fn scope(&self) -> Result<Option<Scope>, InvalidName> {
        Scope::new(format!("store={}", self.store)).map(Some)
    }
}

/// What was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settled {
    /// Sales less refunds, in minor units.
    pub net_minor: i64,
    /// What the store got; what it owes when negative.
    pub payout_minor: i64,
    /// The provider's receipt; none when there was nothing to pay.
    pub receipt: Option<String>,
}

/// What the worker needs beside its task.
pub struct Cashier {
    /// Terms and time.
    pub obligations: Arc<Obligations>,
    /// Who pays.
    pub provider: Provider,
}

impl Cashier {
    /// Settles one period of one store.
    ///
    /// # Errors
    /// A retry while the provider is away; a question to a person when it knows the payment with another amount.
    pub async fn settle(self: Arc<Self>, ctx: Context, ask: Settle) -> HandlerResult<Settled> {
        let (id, period) = (StoreId(ask.store), ask.period());
        let store = store_of(ctx.store(), id).await?;
        let terms = self.obligations.terms(&store);
        let closes_at = terms.closes_at(period);
        if self.obligations.time.now() < closes_at {
            return Err(NotDone::Snooze { wait: self.obligations.time.until(closes_at) });
        }
        ctx.store().write_app(close_books(id, period, closes_at)).await.map_err(TaskError::from)?;
        let settlement = add_up(ctx.store(), &terms, period).await?;
        let receipt = match settlement.payout.minor {
            0 => None,
            _ => Some(self.pay(&ctx, &settlement).await?),
        };
        let receipt = receipt.map(|receipt| receipt.receipt);
        let settled = Settled {
            net_minor: settlement.net.minor,
            payout_minor: settlement.payout.minor,
            receipt: receipt.clone(),
        };
        ctx.write(write_settlement(settlement, receipt));
        Ok(settled)
    }

    async fn pay(&self, ctx: &Context, settlement: &Settlement) -> Result<Receipt, NotDone> {
        let order = PayoutOrder {
            key: settlement.payout_key(),
            store: settlement.store.0,
            amount_minor: settlement.payout.minor,
            currency: settlement.payout.currency.code().to_owned(),
        };
        ctx.keyed(StepName::new("pay")?, &order, |_| self.provider.pay(&order)).await
    }
}

/// From here on, rows of the period are recorded in a later one.
fn close_books(store: StoreId, period: Period, closes_at: jiff::Timestamp) -> AppWrite {
    AppWrite::new(move |tx| {
        let sql = "INSERT INTO closed_periods (store, period, closed_at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        tx.execute(sql, &[number(store.0), period.to_string().into(), moment(closes_at)])?;
        Ok(())
    })
}

/// The settlement of a closed period, page by page.
pub(crate) async fn add_up(
    rows: &Arc<dyn Rows>,
    terms: &SettlementTerms,
    period: Period,
) -> Result<Settlement, TaskError> {
    let mut open = OpenSettlement::new(terms, period);
    let refused = |error: storefront_domain::SettlementError| TaskError::permanent(error.to_string());
    for select in [SALES, REFUNDS] {
        let sql = format!("{select} AND period = ?2 AND id > ?3 ORDER BY id LIMIT ?4");
        let mut after = 0;
        loop {
            let asked = vec![number(terms.store.0), period.to_string().into(), after.into(), PAGE.into()];
            let page = rows.query_app(&sql, asked).await?;
            for row in &page {
                after = row.integer(0)?;
                if select == SALES {
                    open.add_sale(&sale_row(row, terms.store, terms.currency)?).map_err(refused)?;
                } else {
                    open.add_refund(&refund_row(row, terms.store, terms.currency)?).map_err(refused)?;
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
    }
    Ok(open.close())
}

fn write_settlement(settlement: Settlement, receipt: Option<String>) -> AppWrite {
    AppWrite::new(move |tx| {
        let (store, period) = (number(settlement.store.0), SqlValue::from(settlement.period.to_string()));
        tx.execute(
            "INSERT INTO settlement (store, period, closed_at, currency, net_minor, payout_minor, receipt)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET closed_at = excluded.closed_at, currency = excluded.currency,
                 net_minor = excluded.net_minor, payout_minor = excluded.payout_minor, receipt = excluded.receipt",
            &[
                store.clone(),
                period.clone(),
                moment(settlement.closed_at),
                settlement.net.currency.code().into(),
                settlement.net.minor.into(),
                settlement.payout.minor.into(),
                receipt.clone().into(),
            ],
        )?;
        for (position, line) in (1_i64..).zip(&settlement.lines) {
            tx.execute(
                "INSERT OR REPLACE INTO payout_lines (store, period, position, kind, counted, amount_minor)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                &[
                    store.clone(),
                    period.clone(),
                    position.into(),
                    name_of(line.kind)?.into(),
                    number(line.rows),
                    line.amount.minor.into(),
                ],
            )?;
        }
        Ok(())
    })
}

/// Makes the settlements of a store again.
pub struct SettleAgain {
    /// Makes the tasks.
    pub obligations: Arc<Obligations>,
}

#[async_trait]
impl Rebuild for SettleAgain {
    async fn plan(&self, ask: RebuildAsk) -> Result<RebuildPlan, TaskError> {
        let id = StoreId(number_of_scope(&ask.scope, "store")?);
        let terms = self.obligations.terms(&store_of(&ask.store, id).await?);
        let sql = "SELECT period FROM closed_periods WHERE store = ?1 ORDER BY period";
        let (mut periods, mut tasks) = (Vec::new(), Vec::new());
        for row in ask.store.query_app(sql, vec![number(id.0)]).await? {
            let period = period(row.text(0)?)
                .ok_or_else(|| crate::rows::unreadable(row.text(0).unwrap_or_default()))?;
            let inside = ask.since.is_none_or(|since| period.ends(&terms.zone) > since)
                && ask.until.is_none_or(|until| period.starts(&terms.zone) < until);
            if inside {
                tasks.push(self.obligations.settle(&terms, period)?);
                periods.push(period);
            }
        }
        let discard = AppWrite::new(move |tx| {
            for period in &periods {
                for table in ["settlement", "payout_lines"] {
                    let sql = format!("DELETE FROM {table} WHERE store = ?1 AND period = ?2");
                    tx.execute(&sql, &[number(id.0), period.to_string().into()])?;
                }
            }
            Ok(())
        });
        Ok(RebuildPlan { discard: vec![discard], tasks })
    }
}

/// The number in a scope such as `store=42`.
pub(crate) fn number_of_scope(scope: &Scope, key: &str) -> Result<u64, TaskError> {
    let number = scope.as_str().strip_prefix(key).and_then(|rest| rest.strip_prefix('='));
    let wrong = || {
        TaskError::new(ErrorCode::InvalidArgument, format!("the scope is {key}= and a number, not {scope}"))
    };
    number.and_then(|number| number.parse().ok()).ok_or_else(wrong)
}
