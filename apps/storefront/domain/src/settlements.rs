//! What a store is paid for a day, a week or a month.
//!
//! ```text
//! sales − refunds = net          net − fee = payout
//!
//! period    ├──────── March ────────┼──────── April ────────┤
//! closes                               ▲ end + closing time
//! a refund of March, recorded here  ●──┘  settles in March
//!                         recorded here  ●───────────────────  settles in April, which is open
//! ```
//!
//! A row settles in the period it happened in, unless that one was closed when the row was recorded; then in the period
//! in which it was recorded. So a row settles exactly once, whatever is asked when; a closed period never changes again
//! and may be settled any number of times with the same bytes; and over all periods the nets add up to sales − refunds.
//!
//! The fee is the store's share of the *net of the period*, rounded half to even once ([`BasisPoints::of`]). The payout
//! is what is left, so fee and payout always add up to the net and there is no remainder to hand out. A period with
//! more refunds than sales has a negative net, fee and payout: the store owes, and gets its fee back.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::money::{BasisPoints, Currency, Money, MoneyError};
use crate::period::{Period, PeriodKind};
use crate::truth::{Refund, RefundId, Sale, SaleId, Store, StoreId};
use crate::zone::Zone;

/// What a store and the platform agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettlementTerms {
    /// Whom it concerns.
    pub store: StoreId,
    /// The zone of its calendar.
    pub zone: Zone,
    /// What it is paid in.
    pub currency: Currency,
    /// The platform's share.
    pub fee: BasisPoints,
    /// How often it is paid.
    pub kind: PeriodKind,
    /// How long after its end a period stays open for what is recorded late; not negative.
    pub closing: SignedDuration,
}

/// One line of a payout. Invariant: a settlement's lines add up to its payout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutLine {
    /// What it is for.
    pub kind: PayoutLineKind,
    /// How many rows it stands for.
    pub rows: u64,
    /// What it adds to the payout.
    pub amount: Money,
}

/// What a line of a payout is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutLineKind {
    /// What was sold.
    Sales,
    /// What was given back; negative.
    Refunds,
    /// The platform's share; negative unless refunds outweigh sales.
    Fee,
}

/// What a store is paid for one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Whom.
    pub store: StoreId,
    /// For which period.
    pub period: Period,
    /// When nothing could change it any more.
    pub closed_at: Timestamp,
    /// Sales, refunds, fee, in this order.
    pub lines: [PayoutLine; 3],
    /// Sales − refunds.
    pub net: Money,
    /// What the store gets; what it owes when negative.
    pub payout: Money,
}

/// A row that cannot be settled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettlementError {
    /// The same sale or refund came twice. Paying it twice is the one thing that must not happen.
    #[error("{row} came twice")]
    Twice {
        /// Which.
        row: RowId,
    },
    /// A sale or refund of less than nothing.
    #[error("{row} has a negative amount")]
    Negative {
        /// Which.
        row: RowId,
    },
    /// A row of another store.
    #[error("{row} is not of store {store}")]
    OtherStore {
        /// Which.
        row: RowId,
        /// The store that is settled.
        store: StoreId,
    },
    /// A row in another currency, or sums too large to hold.
    #[error("{row} cannot be added")]
    Money {
        /// Which.
        row: RowId,
        /// Why.
        source: MoneyError,
    },
}

/// Which row of the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowId {
    /// A sale.
    Sale(SaleId),
    /// A refund.
    Refund(RefundId),
}

impl std::fmt::Display for RowId {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sale(id) => write!(out, "sale {id}"),
            Self::Refund(id) => write!(out, "refund {id}"),
        }
    }
}

impl SettlementTerms {
    /// The terms of a store.
    #[must_use]
    pub fn of(store: &Store, kind: PeriodKind, closing: SignedDuration) -> Self {
        let Store { id, zone, currency, fee, .. } = store.clone();
        Self { store: id, zone, currency, fee, kind, closing }
    }

    /// When a period closes: from then on its settlement is final and can be made.
    #[must_use]
    pub fn closes_at(&self, period: Period) -> Timestamp {
        period.ends(&self.zone).saturating_add(self.closing).unwrap_or(Timestamp::MAX)
    }

    /// The period a row settles in.
    #[must_use]
    pub fn period_of(&self, at: Timestamp, recorded_at: Timestamp) -> Period {
        let happened = Period::containing(self.kind, at, &self.zone);
        if recorded_at < self.closes_at(happened) {
            happened
        } else {
            Period::containing(self.kind, recorded_at, &self.zone)
        }
    }

    /// Settles one period from the store's rows; those of other periods are passed over.
    ///
    /// # Errors
    /// When a row cannot be settled; then nothing is.
    pub fn settle<'a>(
        &self,
        period: Period,
        sales: impl IntoIterator<Item = &'a Sale>,
        refunds: impl IntoIterator<Item = &'a Refund>,
    ) -> Result<Settlement, SettlementError> {
        let mut open = OpenSettlement::new(self, period);
        for sale in sales.into_iter().filter(|sale| self.period_of(sale.at, sale.recorded_at) == period) {
            open.add_sale(sale)?;
        }
        for refund in
            refunds.into_iter().filter(|refund| self.period_of(refund.at, refund.recorded_at) == period)
        {
            open.add_refund(refund)?;
        }
        Ok(open.close())
    }

    /// Settles every period that the store's rows fall in, in one pass.
    ///
    /// # Errors
    /// When a row cannot be settled; then nothing is.
    pub fn settle_all<'a>(
        &self,
        sales: impl IntoIterator<Item = &'a Sale>,
        refunds: impl IntoIterator<Item = &'a Refund>,
    ) -> Result<BTreeMap<Period, Settlement>, SettlementError> {
        let mut open: BTreeMap<Period, OpenSettlement<'_>> = BTreeMap::new();
        for sale in sales {
            let period = self.period_of(sale.at, sale.recorded_at);
            open.entry(period).or_insert_with(|| OpenSettlement::new(self, period)).add_sale(sale)?;
        }
        for refund in refunds {
            let period = self.period_of(refund.at, refund.recorded_at);
            open.entry(period).or_insert_with(|| OpenSettlement::new(self, period)).add_refund(refund)?;
        }
        Ok(open.into_iter().map(|(period, open)| (period, open.close())).collect())
    }
}

/// A settlement in the making: rows come in any order, one after the other.
#[derive(Debug, Clone)]
pub struct OpenSettlement<'a> {
    terms: &'a SettlementTerms,
    period: Period,
    seen: BTreeSet<RowId>,
    sales: Money,
    refunds: Money,
    net: Money,
    sale_rows: u64,
}

impl<'a> OpenSettlement<'a> {
    /// Nothing sold yet.
    #[must_use]
    pub fn new(terms: &'a SettlementTerms, period: Period) -> Self {
        let zero = Money::zero(terms.currency);
        Self { terms, period, seen: BTreeSet::new(), sales: zero, refunds: zero, net: zero, sale_rows: 0 }
    }

    /// Takes a sale of this store and period in.
    ///
    /// # Errors
    /// When it cannot be settled.
    pub fn add_sale(&mut self, sale: &Sale) -> Result<(), SettlementError> {
        let row = RowId::Sale(sale.id);
        self.check(row, sale.store, sale.amount)?;
        let too_much = |source| SettlementError::Money { row, source };
        self.sales = self.sales.plus(sale.amount).map_err(too_much)?;
        self.net = self.net.plus(sale.amount).map_err(too_much)?;
        self.sale_rows += 1;
        Ok(())
    }

    /// Takes a refund of this store and period in.
    ///
    /// # Errors
    /// When it cannot be settled.
    pub fn add_refund(&mut self, refund: &Refund) -> Result<(), SettlementError> {
        let row = RowId::Refund(refund.id);
        self.check(row, refund.store, refund.amount)?;
        let too_much = |source| SettlementError::Money { row, source };
        self.refunds = self.refunds.minus(refund.amount).map_err(too_much)?;
        self.net = self.net.minus(refund.amount).map_err(too_much)?;
        Ok(())
    }

    /// The settlement of what came in.
    #[must_use]
    pub fn close(self) -> Settlement {
        let Self { terms, period, net, sales, refunds, sale_rows, .. } = self;
        let fee = terms.fee.of(net);
        // The fee is a share of the net and of its sign: neither the difference nor the negation can overflow.
        let payout = Money { minor: net.minor - fee.minor, ..net };
        let refund_rows = self.seen.len() as u64 - sale_rows;
        let lines = [
            PayoutLine { kind: PayoutLineKind::Sales, rows: sale_rows, amount: sales },
            PayoutLine { kind: PayoutLineKind::Refunds, rows: refund_rows, amount: refunds },
            PayoutLine { kind: PayoutLineKind::Fee, rows: 1, amount: Money { minor: -fee.minor, ..fee } },
        ];
        Settlement { store: terms.store, period, closed_at: terms.closes_at(period), lines, net, payout }
    }

    fn check(&mut self, row: RowId, store: StoreId, amount: Money) -> Result<(), SettlementError> {
        if store != self.terms.store {
            return Err(SettlementError::OtherStore { row, store: self.terms.store });
        }
        if amount.minor < 0 {
            return Err(SettlementError::Negative { row });
        }
        if self.seen.insert(row) { Ok(()) } else { Err(SettlementError::Twice { row }) }
    }
}

impl Settlement {
    /// Names the payment: whoever pays by this key pays once.
    #[must_use]
    pub fn payout_key(&self) -> String {
        format!("payout/store:{}/{}", self.store, self.period)
    }
}

#[cfg(test)]
mod tests;
