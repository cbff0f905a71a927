//! The rows that are true: what was sold, given back, rated. Everything else in this crate is a decision about them or
//! a projection of them that can be thrown away and made again.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::money::{BasisPoints, Currency, Money};
use crate::zone::Zone;

macro_rules! ids {
    ($($(#[$doc:meta])+ $name:ident;)+) => {$(
        $(#[$doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(
            /// The number.
            pub u64,
        );

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(out)
            }
        }
    )+};
}

ids! {
    /// A store's number.
    StoreId;
    /// A product's number.
    ProductId;
    /// A customer's number. The only thing about a customer that may stand in a key, an id or a log line.
    CustomerId;
    /// A sale's number.
    SaleId;
    /// A refund's number.
    RefundId;
    /// A reservation's number.
    ReservationId;
    /// A membership's number.
    MemberId;
    /// A membership payment's number.
    PaymentId;
    /// A draft notification's number.
    DraftId;
}

/// A kind of product; the scope of recommendations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Category(pub String);

impl fmt::Display for Category {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A store: where it is decides when its day ends, and what it is paid in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Its number.
    pub id: StoreId,
    /// What people call it.
    pub name: String,
    /// The time zone its days are counted in.
    pub zone: Zone,
    /// What it sells in. Every sale and refund of the store is in this currency.
    pub currency: Currency,
    /// The platform's share of its net sales.
    pub fee: BasisPoints,
}

/// Something to sell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// Its number.
    pub id: ProductId,
    /// What it is called.
    pub name: String,
    /// What it belongs to; at least one, sorted, none twice.
    pub categories: Vec<Category>,
    /// Its price in minor units of whichever currency a store sells in.
    pub price_minor: u32,
}

/// A person who buys. Name and address are personal data: they are for the text of a message and for nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Its number.
    pub id: CustomerId,
    /// The person's name.
    pub name: String,
    /// The person's mail address.
    pub email: String,
}

/// One opinion. A customer's newer opinion of a product replaces the older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// Who.
    pub customer: CustomerId,
    /// Of what.
    pub product: ProductId,
    /// One to five.
    pub stars: Stars,
    /// When.
    pub at: Timestamp,
}

/// One to five stars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Stars(u8);

/// A number that is not one to five.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not one to five stars")]
pub struct StarsError(u8);

impl Stars {
    /// So many stars.
    ///
    /// # Errors
    /// When it is not one to five.
    pub fn new(stars: u8) -> Result<Self, StarsError> {
        if (1..=5).contains(&stars) { Ok(Self(stars)) } else { Err(StarsError(stars)) }
    }

    /// How many.
    #[must_use]
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl TryFrom<u8> for Stars {
    type Error = StarsError;

    fn try_from(stars: u8) -> Result<Self, StarsError> {
        Self::new(stars)
    }
}

impl From<Stars> for u8 {
    fn from(stars: Stars) -> Self {
        stars.0
    }
}

/// One product sold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sale {
    /// Its number; unique.
    pub id: SaleId,
    /// Who sold.
    pub store: StoreId,
    /// Who bought.
    pub customer: CustomerId,
    /// What.
    pub product: ProductId,
    /// How many pieces.
    pub quantity: u32,
    /// What all of them cost together; not negative.
    pub amount: Money,
    /// When it happened.
    pub at: Timestamp,
    /// When we learned of it: the same moment, or later.
    pub recorded_at: Timestamp,
}

/// Money given back for a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its number; unique.
    pub id: RefundId,
    /// The sale it takes back, wholly or in part.
    pub sale: SaleId,
    /// The store that sold.
    pub store: StoreId,
    /// What is given back; not negative.
    pub amount: Money,
    /// When it happened.
    pub at: Timestamp,
    /// When we learned of it: the same moment, or later.
    pub recorded_at: Timestamp,
}
