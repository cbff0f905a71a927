//! The business of mail orders: what a mail's content says, whether the shop can take it as an order, what it
//! costs, and what to answer. It knows no mail format, no file, no clock and no platform; everything here is a
//! value in and a value out.
//!
//! ```text
//! documents ─▶ drafts ─▶ checked lines ─▶ verdict ─▶ reply
//! (tables,     (claims,   (catalogue,      (one of    (the customer's
//!  text)        as written) contradictions)  a few)     language)
//! ```
//!
//! The one rule that shapes all of it: *never guess*. An order is made only when everything the mail says agrees with
//! itself and with the catalogue; whatever else happens has a verdict of its own that names every cause.
//!
//! ```
//! use mail_order_domain::{Document, Letter, Shop, Table, Verdict};
//!
//! let shop = Shop::parse(
//!     "sku;name;unit;minimum;multiple;maximum;price\nTEA-100;Green tea;pack;1;1;500;3.50 EUR\n",
//!     "match;customer;name;language\n@cafe.example;C-1;Café Nord;en\n",
//! )?;
//! let table = Table::from_text(&[&["SKU", "Qty"], &["TEA-100", "4"]]);
//! let letter = Letter {
//!     sender: "orders@cafe.example".into(),
//!     documents: vec![Document::table("order.csv", table)],
//!     ..Letter::default()
//! };
//! let Verdict::Order { order } = shop.judge(&letter) else { panic!("four packs of tea are an order") };
//! assert_eq!(order.total.to_string(), "14.00 EUR");
//! # Ok::<(), mail_order_domain::ShopError>(())
//! ```

mod catalogue;
mod check;
mod customers;
mod draft;
mod intent;
mod judge;
mod language;
mod money;
mod number;
mod order;
mod problem;
mod reading;
mod records;
mod reply;
mod shop;
mod sku;
mod table;
mod unit;
mod verdict;
mod words;

pub use crate::catalogue::{Catalogue, Product};
pub use crate::check::{Checked, check};
pub use crate::customers::{Customer, Customers};
pub use crate::draft::{ColumnRef, DraftLine, Field, LineRef, OrderDraft};
pub use crate::intent::{Intent, intent_of};
pub use crate::judge::{Letter, Obstacle, ObstacleCode};
pub use crate::language::Language;
pub use crate::money::{Currency, Money};
pub use crate::number::{Decimal, DecimalMark, NumberError};
pub use crate::order::{Order, OrderLine};
pub use crate::problem::{Claim, Contradiction, LineProblem, ProblemKind};
pub use crate::reading::{Column, DocumentReading, read_document};
pub use crate::records::{FileProblem, ShopError};
pub use crate::reply::ReplyText;
pub use crate::shop::Shop;
pub use crate::sku::Sku;
pub use crate::table::{Cell, Content, Document, Row, Table};
pub use crate::unit::Unit;
pub use crate::verdict::{Disposition, NotAnOrderReason, Verdict};
