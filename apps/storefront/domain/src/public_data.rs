//! Reads public data sets into rows of the truth: text in, rows out, and an error that names the line.
//!
//! - MovieLens 100k as RecBole ships it: `ml-100k.inter` (ratings) and `ml-100k.item` (films), tab-separated.
//! - CDNOW's master file as Lifetimes ships it: four columns between spaces, dates without a time of day.
//! - The Complete Journey's transactions, whose Parquet file the caller opens: one [`JourneyRow`] a line.
//!
//! None of them is part of this crate; their terms forbid it or their size does.

use jiff::Timestamp;
use jiff::civil::{Date, time};
use thiserror::Error;

use crate::money::{Currency, Money};
use crate::truth::{Category, CustomerId, Product, ProductId, Rating, Sale, SaleId, Stars, StoreId};
use crate::zone::Zone;

/// Text that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DataError {
    /// The first line names other columns.
    #[error("the first line is not `{expected}`")]
    Heading {
        /// What it should be, with spaces between the columns.
        expected: &'static str,
    },
    /// A line of more or fewer columns.
    #[error("line {line} has {found} columns instead of {expected}")]
    Columns {
        /// Which, counted from 1.
        line: usize,
        /// How many it should have.
        expected: usize,
        /// How many it has.
        found: usize,
    },
    /// A field that cannot be read.
    #[error("line {line}: `{text}` is no {column}")]
    Field {
        /// Which line, counted from 1.
        line: usize,
        /// What the field should be.
        column: &'static str,
        /// What it says.
        text: String,
    },
}

const RATINGS_HEADING: &str = "user_id:token item_id:token rating:float timestamp:float";
const FILMS_HEADING: &str = "item_id:token movie_title:token_seq release_year:token class:token_seq";
const CDNOW_HEADING: &str = "customer_id date number_of_cds dollar_value";

/// One line that was cut into its fields.
struct Fields<'a, const N: usize> {
    line: usize,
    texts: [&'a str; N],
}

impl<const N: usize> Fields<'_, N> {
    fn read<T>(
        &self,
        field: usize,
        column: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, DataError> {
        let text = self.texts[field];
        read(text).ok_or_else(|| DataError::Field { line: self.line, column, text: text.to_owned() })
    }

    fn number(&self, field: usize, column: &'static str) -> Result<u64, DataError> {
        self.read(field, column, |text| text.parse().ok())
    }
}

/// The ratings of an `.inter` file.
///
/// # Errors
/// At the first line that is not what it should be.
pub fn parse_ratings(text: &str) -> Result<Vec<Rating>, DataError> {
    lines(
        text,
        RATINGS_HEADING,
        |line| line.split('\t').collect(),
        |fields: Fields<'_, 4>| {
            Ok(Rating {
                customer: CustomerId(fields.number(0, "customer")?),
                product: ProductId(fields.number(1, "product")?),
                stars: fields.read(2, "stars", |text| Stars::new(text.parse().ok()?).ok())?,
                at: fields.read(3, "time", |text| Timestamp::from_second(text.parse().ok()?).ok())?,
            })
        },
    )
}

/// The films of an `.item` file as products, all at the same price since the data has none.
///
/// # Errors
/// At the first line that is not what it should be.
pub fn parse_films(text: &str, price_minor: u32) -> Result<Vec<Product>, DataError> {
    lines(
        text,
        FILMS_HEADING,
        |line| line.split('\t').collect(),
        |fields: Fields<'_, 4>| {
            let categories = fields.read(3, "list of categories", |text| {
                let mut all: Vec<_> = text.split_whitespace().map(|word| Category(word.to_owned())).collect();
                all.sort();
                all.dedup();
                (!all.is_empty()).then_some(all)
            })?;
            let (id, name) = (ProductId(fields.number(0, "product")?), fields.texts[1].to_owned());
            Ok(Product { id, name, categories, price_minor })
        },
    )
}

/// The product that CDNOW's sales are of: it tells only how many discs were bought.
pub const CDNOW_PRODUCT: ProductId = ProductId(1);

/// The purchases of CDNOW's master file as sales of one store. They have dates and no time of day: each is taken to
/// happen at noon of the store's day, and to be recorded at once. A sale's number is that of its line.
///
/// # Errors
/// At the first line that is not what it should be.
pub fn parse_cdnow(text: &str, store: StoreId, zone: &Zone) -> Result<Vec<Sale>, DataError> {
    lines(
        text,
        CDNOW_HEADING,
        |line| line.split_whitespace().collect(),
        |fields: Fields<'_, 4>| {
            let at = fields.read(1, "date", |text| {
                let noon = Date::strptime("%Y%m%d", text).ok()?.to_datetime(time(12, 0, 0, 0));
                Some(noon.to_zoned(zone.rules().clone()).ok()?.timestamp())
            })?;
            Ok(Sale {
                id: SaleId(fields.line as u64),
                store,
                customer: CustomerId(fields.number(0, "customer")?),
                product: CDNOW_PRODUCT,
                quantity: fields.read(2, "quantity", |text| text.parse().ok())?,
                amount: fields.read(3, "amount", |text| {
                    Money::parse(text, Currency::Usd).ok().filter(|amount| amount.minor >= 0)
                })?,
                at,
                recorded_at: at,
            })
        },
    )
}

fn lines<'a, const N: usize, T>(
    text: &'a str,
    heading: &'static str,
    cut: impl Fn(&'a str) -> Vec<&'a str>,
    read: impl Fn(Fields<'a, N>) -> Result<T, DataError>,
) -> Result<Vec<T>, DataError> {
    let mut numbered = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let first = numbered.next().map(|(_, line)| cut(line)).unwrap_or_default();
    if !first.iter().copied().eq(heading.split(' ')) {
        return Err(DataError::Heading { expected: heading });
    }
    numbered
        .map(|(index, line)| {
            let texts: [&str; N] = cut(line).try_into().map_err(|fields: Vec<_>| DataError::Columns {
                line: index + 1,
                expected: N,
                found: fields.len(),
            })?;
            read(Fields { line: index + 1, texts })
        })
        .collect()
}

/// A line of The Complete Journey's transactions, with the columns that matter here, as its Parquet file has them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JourneyRow {
    /// Who bought.
    pub household_id: i64,
    /// Where.
    pub store_id: i64,
    /// What.
    pub product_id: i64,
    /// How many pieces (of fuel: how much, in thousandths of a gallon).
    pub quantity: i64,
    /// What was paid, in dollars. The file has a float here; [`JourneyRow::to_sale`] reads the cents off it.
    pub sales_value: f64,
    /// When. The file names no zone; read as UTC, trade rests at night and the year begins and ends with that of New York.
    pub transaction_timestamp: Timestamp,
}

impl JourneyRow {
    /// The sale that the `line`th row tells of (counted from 1), recorded at once.
    ///
    /// # Errors
    /// [`DataError::Field`] for a negative number, or an amount that is no whole number of cents.
    pub fn to_sale(&self, line: u64) -> Result<Sale, DataError> {
        let refuse = |column, text: String| {
            let line = usize::try_from(line).unwrap_or(usize::MAX);
            DataError::Field { line, column, text }
        };
        let number = |column, value: i64| u64::try_from(value).map_err(|_| refuse(column, value.to_string()));
        Ok(Sale {
            id: SaleId(line),
            store: StoreId(number("store", self.store_id)?),
            customer: CustomerId(number("customer", self.household_id)?),
            product: ProductId(number("product", self.product_id)?),
            quantity: u32::try_from(self.quantity)
                .map_err(|_| refuse("quantity", self.quantity.to_string()))?,
            amount: cents(self.sales_value).ok_or_else(|| refuse("amount", self.sales_value.to_string()))?,
            at: self.transaction_timestamp,
            recorded_at: self.transaction_timestamp,
        })
    }
}

/// The cents that a float of dollars means. The file's floats carry the noise of sums (2.2e-16 for nothing), so a
/// millionth of a cent is let pass; whatever is further from a whole number of cents is refused.
fn cents(dollars: f64) -> Option<Money> {
    let hundredfold = dollars * 100.0;
    let whole = hundredfold.round();
    // Up to 2^53 every whole number is a float of its own.
    let fits = (0.0..9_007_199_254_740_992.0).contains(&whole) && (hundredfold - whole).abs() < 1e-6;
    fits.then_some(Money::new(whole as i64, Currency::Usd))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ratings_and_films_are_read() {
        let text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n";
        let rating = parse_ratings(text).unwrap()[0];
        assert_eq!(
            (rating.customer, rating.product, rating.stars.get()),
            (CustomerId(196), ProductId(242), 3)
        );
        assert_eq!(rating.at.to_string(), "1997-12-04T15:55:49Z");
        let text = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n\
                    1\tA Film\t1995\tComedy Animation Comedy\n";
        let film = &parse_films(text, 999).unwrap()[0];
        assert_eq!((film.name.as_str(), film.price_minor), ("A Film", 999));
        assert_eq!(film.categories, ["Animation", "Comedy"].map(|name| Category(name.into())));
    }

    #[test]
    fn purchases_are_read_with_their_lines() {
        let text = " customer_id  date number_of_cds  dollar_value\r\n 00002 19970112  5   77.00\r\n";
        let zone = Zone::named("America/New_York").unwrap();
        let sale = parse_cdnow(text, StoreId(1), &zone).unwrap()[0];
        assert_eq!((sale.id, sale.customer, sale.quantity), (SaleId(2), CustomerId(2), 5));
        assert_eq!(
            (sale.amount.to_string().as_str(), sale.at.to_string().as_str()),
            ("77.00 USD", "1997-01-12T17:00:00Z")
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line() {
        let heading = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n";
        let refuse = |rest: &str| parse_ratings(&format!("{heading}1\t1\t1\t1\n{rest}")).unwrap_err();
        let field = |column, text: &str| DataError::Field { line: 3, column, text: text.into() };
        assert_eq!(parse_ratings(""), Err(DataError::Heading { expected: RATINGS_HEADING }));
        assert_eq!(refuse("1\t2\t3\n"), DataError::Columns { line: 3, expected: 4, found: 3 });
        assert_eq!(refuse("1\t2\t6\t0\n"), field("stars", "6"));
        assert_eq!(refuse("x\t2\t5\t0\n"), field("customer", "x"));
        assert_eq!(refuse("1\t2\t5\t99999999999999\n"), field("time", "99999999999999"));
        assert_eq!(refuse("1\t2\t5\tnow\n").to_string(), "line 3: `now` is no time");
    }

    fn journey() -> JourneyRow {
        JourneyRow {
            household_id: 900,
            store_id: 330,
            product_id: 1_095_275,
            quantity: 1,
            sales_value: 0.5,
            transaction_timestamp: "2017-01-01T11:53:26Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_journey_row_becomes_a_sale_or_says_why_not() {
        let sale = journey().to_sale(1).unwrap();
        assert_eq!((sale.amount.minor, sale.at.to_string().as_str()), (50, "2017-01-01T11:53:26Z"));
        let noise = JourneyRow { sales_value: 2.220446e-16, ..journey() };
        assert_eq!(noise.to_sale(1).unwrap().amount.minor, 0);
        for (row, column) in [
            (JourneyRow { sales_value: f64::INFINITY, ..journey() }, "amount"),
            (JourneyRow { sales_value: 0.005, ..journey() }, "amount"),
            (JourneyRow { sales_value: -1.0, ..journey() }, "amount"),
            (JourneyRow { sales_value: f64::NAN, ..journey() }, "amount"),
            (JourneyRow { quantity: -1, ..journey() }, "quantity"),
            (JourneyRow { store_id: -1, ..journey() }, "store"),
        ] {
            let refused = row.to_sale(9);
            assert!(
                matches!(&refused, Err(DataError::Field { line: 9, column: found, .. }) if *found == column),
                "{refused:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_amount_of_cents_survives_the_float(minor in 0i64..1_000_000_000) {
            prop_assert_eq!(cents(minor as f64 / 100.0), Some(Money::new(minor, Currency::Usd)));
        }
    }
}
