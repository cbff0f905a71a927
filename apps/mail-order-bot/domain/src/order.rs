//! The order itself: checked against the catalogue and priced.

use serde::{Deserialize, Serialize};

use crate::money::Money;
use crate::sku::Sku;
use crate::unit::Unit;

/// An order as the shop takes it. Every line is for a product of the catalogue, at its price, in its unit and within
/// its limits; no two lines are for the same product; `total` is the sum of the lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The customer's number.
    pub customer: String,
    /// The customer's name.
    pub customer_name: String,
    /// At least one.
    pub lines: Vec<OrderLine>,
    /// What it costs, net.
    pub total: Money,
}

/// One product of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderLine {
    /// The product.
    pub sku: Sku,
    /// Its name in the catalogue.
    pub name: String,
    /// How many units.
    pub quantity: u32,
    /// The unit it is sold in.
    pub unit: Unit,
    /// The price of one unit, net.
    pub unit_price: Money,
    /// The price of all, net.
    pub total: Money,
}
