//! What can be wrong with a line, and what can contradict itself. The codes are stable; the sentences for customers are
//! made in `reply`.

use serde::{Deserialize, Serialize};

use crate::draft::{ColumnRef, LineRef};
use crate::money::{Currency, Money};
use crate::reading::Column;
use crate::sku::Sku;
use crate::unit::Unit;

/// One thing that is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineProblem {
    /// Which line.
    pub at: LineRef,
    /// Which column, when the line is a table's row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<ColumnRef>,
    /// The article the line is about, as far as it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// Why.
    #[serde(flatten)]
    pub kind: ProblemKind,
}

/// Why a line cannot be taken. `given` is always what the customer wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum ProblemKind {
    /// The table has no such column at all.
    MissingColumn {
        /// The column that is needed.
        needed: Column,
    },
    /// No article code on the line.
    MissingSku,
    /// The catalogue has no such article.
    UnknownSku {
        /// As written.
        given: String,
        /// The article that was most likely meant.
        suggestion: Option<Sku>,
    },
    /// No quantity on the line.
    MissingQuantity,
    /// The quantity is no number.
    QuantityNotANumber {
        /// As written.
        given: String,
    },
    /// `1.234` with nothing to tell thousands from decimals.
    QuantityAmbiguous {
        /// As written.
        given: String,
    },
    /// Part of a unit.
    QuantityFraction {
        /// As written.
        given: String,
    },
    /// Zero or less.
    QuantityNotPositive {
        /// As written.
        given: String,
    },
    /// Fewer than the shop sells at once.
    QuantityBelowMinimum {
        /// As written.
        given: String,
        /// The fewest.
        minimum: u32,
        /// What they count.
        unit: Unit,
    },
    /// More than the shop takes in one order.
    QuantityAboveMaximum {
        /// As written.
        given: String,
        /// The most.
        maximum: u32,
        /// What they count.
        unit: Unit,
    },
    /// Not a multiple of what comes together.
    QuantityNotMultiple {
        /// As written.
        given: String,
        /// How many come together.
        multiple: u32,
        /// What they count.
        unit: Unit,
    },
    /// A word that names no unit.
    UnknownUnit {
        /// As written.
        given: String,
    },
    /// The article is sold in another unit.
    WrongUnit {
        /// The unit asked for.
        given: Unit,
        /// The unit it is sold in.
        sold_in: Unit,
    },
    /// The price is no number, or one that can be read in two ways.
    PriceNotANumber {
        /// As written.
        given: String,
    },
    /// The price is not the catalogue's.
    PriceDiffers {
        /// As written.
        given: String,
        /// The catalogue's.
        ours: Money,
    },
    /// The price is in a currency the shop does not sell in.
    WrongCurrency {
        /// The currency asked for.
        given: Currency,
        /// The catalogue's.
        ours: Currency,
    },
    /// More lines than one order may have; the line named is the first too many.
    TooManyLines {
        /// The most.
        limit: u32,
    },
}

/// Statements of one mail that cannot all be true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Contradiction {
    /// One article, several quantities.
    Quantities {
        /// The article.
        sku: Sku,
        /// What each line says.
        claims: Vec<Claim>,
    },
    /// One article, several units.
    Units {
        /// The article.
        sku: Sku,
        /// What each line says.
        claims: Vec<Claim>,
    },
    /// One article, several prices.
    Prices {
        /// The article.
        sku: Sku,
        /// What each line says.
        claims: Vec<Claim>,
    },
    /// The same line twice: ordered twice, or written twice?
    Repeated {
        /// The article.
        sku: Sku,
        /// What each line says.
        claims: Vec<Claim>,
    },
    /// A line's total is not quantity times price.
    LineTotal {
        /// Which line.
        at: LineRef,
        /// The article.
        sku: Sku,
        /// As written.
        claimed: String,
        /// Quantity times price.
        computed: Money,
    },
    /// The stated total is not the sum of the lines.
    OrderTotal {
        /// Which line.
        at: LineRef,
        /// As written.
        claimed: String,
        /// The sum of the lines.
        computed: Money,
    },
    /// Two documents of one mail order different things. `None` is the text of the mail.
    Documents {
        /// The first.
        one: Option<String>,
        /// The one that differs from it.
        other: Option<String>,
    },
}

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Which line.
    pub at: LineRef,
    /// As written; empty when the line says nothing.
    pub text: String,
}
