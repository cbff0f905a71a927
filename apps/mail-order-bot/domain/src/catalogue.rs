//! What the shop sells.

use std::collections::BTreeMap;

use crate::money::{Currency, Money};
use crate::number::{Decimal, DecimalMark};
use crate::records::{FileProblem, Place, RecordReader};
use crate::sku::Sku;
use crate::unit::Unit;

/// Highest price of one unit, in minor units, and highest quantity of one line: together they keep every sum of an
/// order inside 64 bits.
const MAX_PRICE: i64 = 1_000_000_000;
const MAX_QUANTITY: u32 = 100_000;

const FIELDS: [&str; 7] = ["sku", "name", "unit", "minimum", "multiple", "maximum", "price"];

/// One product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its code.
    pub sku: Sku,
    /// Its name, as confirmations show it.
    pub name: String,
    /// The unit it is sold in.
    pub unit: Unit,
    /// Fewest units of one order; a multiple of `multiple`.
    pub minimum: u32,
    /// Units that come together: a quantity is a multiple of it.
    pub multiple: u32,
    /// Most units of one order.
    pub maximum: u32,
    /// Net price of one unit.
    pub price: Money,
}

/// Every product by its code. All prices are in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalogue {
    products: BTreeMap<Sku, Product>,
    currency: Currency,
}

impl Catalogue {
    /// Reads the catalogue file: `sku;name;unit;minimum;multiple;maximum;price`, one product a line.
    ///
    /// # Errors
    /// Every mistake of the file, with line and column.
    pub fn parse(text: &str) -> Result<Self, Vec<FileProblem>> {
        let mut reader = RecordReader::new("catalogue");
        let mut products: BTreeMap<Sku, Product> = BTreeMap::new();
        let mut currency = None;
        for record in reader.read(text, FIELDS) {
            let price_at = record.fields[6].1;
            let sku_at = record.fields[0].1;
            let Some(product) = product(&mut reader, record.fields) else { continue };
            if *currency.get_or_insert(product.price.currency) != product.price.currency {
                reader.complain(price_at, "all prices must be in one currency");
            }
            if products.contains_key(&product.sku) {
                reader.complain(sku_at, format!("{} is listed twice", product.sku));
            }
            products.insert(product.sku.clone(), product);
        }
        if reader.problems.is_empty() {
            Ok(Self { products, currency: currency.unwrap_or(Currency::Eur) })
        } else {
            Err(reader.problems)
        }
    }

    /// The product of a code.
    #[must_use]
    pub fn product(&self, sku: &Sku) -> Option<&Product> {
        self.products.get(sku)
    }

    /// The code that was most likely meant by one that does not exist: one letter wrong, missing or too many.
    #[must_use]
    pub fn suggestion(&self, sku: &Sku) -> Option<&Sku> {
        self.products.keys().find(|known| one_edit_apart(known.as_str(), sku.as_str()))
    }

    /// Every product, by code.
    pub fn products(&self) -> impl Iterator<Item = &Product> {
        self.products.values()
    }

    /// The currency of every price.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }
}

fn product(reader: &mut RecordReader, fields: [(&str, Place); 7]) -> Option<Product> {
    let [sku, name, unit, minimum, multiple, maximum, price] = fields;
    let before = reader.problems.len();
    if !Sku::is_shape_of(sku.0) {
        reader.complain(sku.1, format!("{:?} is no article code such as TEA-100", sku.0));
    }
    if name.0.is_empty() {
        reader.complain(name.1, "a product needs a name");
    }
    let unit_known = Unit::from_code(unit.0);
    if unit_known.is_none() {
        reader.complain(unit.1, format!("{:?} is no unit", unit.0));
    }
    let [minimum_value, multiple_value, maximum_value] =
        [minimum, multiple, maximum].map(|field| count(reader, field));
    let price_value = price_of(reader, price);
    let (minimum_value, multiple_value, maximum_value) = (minimum_value?, multiple_value?, maximum_value?);
    if !minimum_value.is_multiple_of(multiple_value) {
        reader.complain(minimum.1, format!("the minimum is no multiple of {multiple_value}"));
    }
    if maximum_value < minimum_value {
        reader.complain(maximum.1, format!("the maximum is below the minimum of {minimum_value}"));
    }
    if reader.problems.len() > before {
        return None;
    }
    Some(Product {
        sku: Sku::new(sku.0),
        name: name.0.to_owned(),
        unit: unit_known?,
        minimum: minimum_value,
        multiple: multiple_value,
        maximum: maximum_value,
        price: price_value?,
    })
}

fn count(reader: &mut RecordReader, (text, at): (&str, Place)) -> Option<u32> {
    let count = text.parse().ok().filter(|count| (1..=MAX_QUANTITY).contains(count));
    if count.is_none() {
        reader.complain(at, format!("{text:?} is no whole number from 1 to {MAX_QUANTITY}"));
    }
    count
}

fn price_of(reader: &mut RecordReader, (text, at): (&str, Place)) -> Option<Money> {
    let (amount, currency) = Currency::split(text);
    let minor = Decimal::parse(amount, Some(DecimalMark::Point)).ok().and_then(Decimal::to_hundredths);
    let price = minor.zip(currency).filter(|(minor, _)| (1..=MAX_PRICE).contains(minor));
    if price.is_none() {
        reader.complain(at, format!("{text:?} is no price such as 12.50 EUR"));
    }
    price.map(|(minor, currency)| Money::new(minor, currency))
}

fn one_edit_apart(left: &str, right: &str) -> bool {
    let (short, long) = if left.len() <= right.len() { (left, right) } else { (right, left) };
    let (short, long) = (short.as_bytes(), long.as_bytes());
    let same_head = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    match long.len() - short.len() {
        0 => same_head < short.len() && short[same_head + 1..] == long[same_head + 1..],
        1 => short[same_head..] == long[same_head + 1..],
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "sku;name;unit;minimum;multiple;maximum;price\n";

    #[test]
    fn a_catalogue_is_read() {
        let text = format!("# teas\n{HEAD}TEA-100; Green tea ;pack;10;5;500;3.50 EUR\n");
        let catalogue = Catalogue::parse(&text).expect("a good catalogue");
        let product = catalogue.product(&Sku::new("tea-100")).expect("the tea");
        assert_eq!((product.minimum, product.multiple, product.maximum), (10, 5, 500));
        assert_eq!(product.price, Money::new(350, Currency::Eur));
        assert_eq!(product.name, "Green tea");
    }

    #[test]
    fn every_mistake_is_named_with_line_and_column() {
        let text = format!(
            "{HEAD}TEA-100;Tea;pack;1;1;5;3.50 EUR\nTEA 2;;barrel;0;1;x;3,50\nTEA-100;Tea;pack;3;2;1;1.00 USD\nA-1;b\n"
        );
        let problems = Catalogue::parse(&text).expect_err("a catalogue full of mistakes");
        let places: Vec<_> = problems.iter().map(|problem| (problem.line, problem.column)).collect();
        assert_eq!(places, [(5, 5), (3, 1), (3, 7), (3, 8), (3, 15), (3, 19), (3, 21), (4, 18), (4, 22)]);
        assert_eq!(
            problems[3].to_string(),
            "catalogue, line 3, column 8: \"barrel\" is no unit",
            "a mistake reads as a sentence with its place"
        );
    }

    #[test]
    fn a_misnamed_heading_is_a_mistake() {
        let problems =
            Catalogue::parse("sku;title;unit;minimum;multiple;maximum;price\n").expect_err("a heading");
        assert_eq!((problems[0].line, problems[0].column), (1, 5));
    }

    #[test]
    fn a_slip_of_the_pen_gets_a_suggestion() {
        let catalogue =
            Catalogue::parse(&format!("{HEAD}TEA-100;Tea;pack;1;1;5;3.50 EUR\n")).expect("a catalogue");
        for slip in ["TEA-10", "TEA-1000", "TEB-100"] {
            assert_eq!(catalogue.suggestion(&Sku::new(slip)), Some(&Sku::new("TEA-100")), "{slip}");
        }
        assert_eq!(catalogue.suggestion(&Sku::new("MUG-200")), None);
    }
}
